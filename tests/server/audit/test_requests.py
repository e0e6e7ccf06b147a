"""What a whole server records: operations, refusals, sign-ins, images; and what it never records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from novacron_core import errors
from novacron_core.api import access, audit, images, operations, people, tenants, vms
from novacron_core.api.audit import AuditEntry, AuditQuery
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Connection
from novacron_server.http.asked import Asked
from novacron_server.outbox.repository import read_after
from tests.support.accounts import PASSWORD
from tests.support.server import LiveServer
from tests.support.waiting import until

NOBODY = "00000000-0000-0000-0000-000000000000"


async def entries(server: LiveServer, q: str, count: int = 1) -> list[AuditEntry]:
    """The entries that match, newest first, once there are so many: refusals are recorded after their answers."""

    async def enough() -> list[AuditEntry] | None:
        found = (await server.admin.call(audit.LIST, query=AuditQuery(q=q, page_size=1000))).items
        return found if len(found) >= count else None

    return await until(enough)


async def flush(server: LiveServer) -> None:
    """Write what was noted, also what is counted for a minute."""
    await server.parts.audit.refusals.close()


async def test_an_accepted_operation_is_recorded_with_who_and_from_where(server: LiveServer) -> None:
    vm = await server.vm("test")
    operation = await server.admin.call(vms.PAUSE, vm_id=vm.id)
    (found,) = await entries(server, "action:pause target:test who:ann since:1h")
    validated = await server.admin.call(access.VALIDATE)
    assert (found.actor, found.actor_id, found.role) == ("ann", validated.user.id, "administrator")
    assert (found.address, found.action, found.result, found.status) == ("127.0.0.1", "vm.pause", "accepted", 202)
    assert (found.target.id, found.tenant, found.detail) == (vm.id, "", f"operation {operation.id}")
    assert len(found.session_id) == 36
    assert len(found.request_id) == 16


async def test_each_vm_of_a_bulk_is_recorded(server: LiveServer) -> None:
    vm = await server.vm("test")
    bulk = await server.admin.call(vms.BULK, body=vms.BulkRequest(action="pause", ids=[vm.id]))
    await server.ended(bulk)
    (found,) = await entries(server, "action:pause target:test")
    assert found.detail.endswith(f"of bulk {bulk.id}")
    assert (found.actor, found.address) == ("ann", "127.0.0.1")
    assert len(await entries(server, "action:vm.bulk")) == 1


async def test_refusals_are_recorded_and_foreign_ids_like_missing_ones(server: LiveServer) -> None:
    """A VM that NovaCron does not manage is foreign to everybody but administrators."""
    member = await server.member("bob", Role.OPERATOR)
    foreign = (await server.vm("test")).id
    for vm_id in (foreign, NOBODY):
        with pytest.raises(errors.NotFound):
            await member.call(vms.GET, vm_id=vm_id)
        with pytest.raises(errors.NotFound):
            await member.call(vms.PAUSE, vm_id=vm_id)
    found = await entries(server, "who:bob result:refused type:vm", 4)
    told = [(e.action, e.status, e.code, e.role, e.address, e.target.type, e.target.name, e.detail) for e in found]
    assert told[0:2] == told[2:4]
    assert {e.target.id for e in found} == {foreign, NOBODY}
    assert {e.action for e in found} == {"vm.pause", "vm.read"}
    assert all(e.tenant == "default" for e in found)
    await member.close()


async def test_ids_in_a_body_or_query_that_are_foreign_or_missing_are_recorded_too(server: LiveServer) -> None:
    member = await server.member("bob", Role.OWNER)
    await server.admin.call(tenants.CREATE, body=tenants.TenantCreate(id="red"))
    for tenant in ("red", "nowhere"):
        for call in (
            member.call(access.SWITCH_TENANT, body=access.SwitchTenant(tenant=tenant)),
            member.call(people.INVITE, body=people.InvitationCreate(tenant=tenant)),
            member.call(audit.VERIFY, query=audit.ChainQuery(tenant=tenant)),
        ):
            with pytest.raises(errors.NotFound):
                await call
    found = await entries(server, "who:bob result:refused", 6)
    told = [(entry.action, entry.status, entry.target.type, entry.detail) for entry in found]
    assert told[:3] == told[3:] and len(set(told)) == 3
    await member.close()


async def test_a_role_that_is_not_enough_and_a_rule_that_refuses_are_recorded(server: LiveServer) -> None:
    viewer = await server.member("vera", Role.VIEWER)
    vm = await server.vm("test")
    with pytest.raises(errors.Forbidden):
        await viewer.call(vms.PAUSE, vm_id=vm.id)
    with pytest.raises(errors.Conflict):
        await server.admin.call(vms.RESUME, vm_id=vm.id)
    (forbidden,) = await entries(server, "who:vera action:pause")
    assert (forbidden.status, forbidden.code, forbidden.role, forbidden.target.name) == (403, "forbidden", "viewer", "")
    assert "lacks the permission" in forbidden.detail
    (conflict,) = await entries(server, "who:ann action:resume target:test result:refused")
    assert (conflict.status, conflict.tenant) == (409, ""), "the chain of the VM, which belongs to no tenant"
    await viewer.close()


async def test_owner_reads_nothing_of_other_tenants_in_refusals_of_an_administrator(server: LiveServer) -> None:
    """The session of an administrator is in a tenant, whose owner reads its audit log."""
    owner = await server.member("olga", Role.OWNER)
    await server.admin.call(tenants.CREATE, body=tenants.TenantCreate(id="red"))
    person = people.PersonCreate(username="rita", password=PASSWORD, tenant="red")
    await server.admin.call(people.CREATE, body=person)
    with pytest.raises(errors.Conflict, match="red has 1 member"):
        await server.admin.call(tenants.DELETE, tenant="red")
    (found,) = await entries(server, "who:ann result:refused")
    assert (found.tenant, found.target.id) == ("", "red")
    seen = (await owner.call(audit.LIST, query=AuditQuery())).items
    assert seen and not [entry for entry in seen if "red" in (entry.target.id, *entry.detail.split())]
    await owner.close()


async def test_a_cancellation_is_recorded_and_a_refused_one_too(server: LiveServer) -> None:
    vm = await server.vm("test")
    ended = await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))
    with pytest.raises(errors.Conflict):
        await server.admin.call(operations.CANCEL, operation_id=ended.id)
    (found,) = await entries(server, "action:cancel")
    assert (found.result, found.target.id, found.action) == ("refused", ended.id, "operation.cancel")
    await server.admin.call(vms.RESUME, vm_id=vm.id)


async def test_sign_ins_are_recorded_and_a_typed_name_only_if_it_is_an_account(server: LiveServer) -> None:
    canary = "correct-horse-battery-staple"
    client = Client(server.url)
    for name in ("ann", canary):
        with pytest.raises(errors.Unauthenticated):
            await client.call(access.LOGIN, body=access.Login(username=name, password="x" * 20 + canary))
    (known,) = await entries(server, "action:sign-in result:failed who:ann")
    assert (known.target.name, known.status, known.address, known.tenant) == ("ann", 401, "127.0.0.1", "default")
    await flush(server)
    (unknown,) = await entries(server, 'action:sign-in result:failed target:"unknown account"')
    assert (unknown.actor, unknown.address, unknown.times) == ("", "127.0.0.1", 1)
    (signed_in,) = await entries(server, "action:sign-in result:done who:ann")
    assert (signed_in.role, signed_in.address) == ("administrator", "127.0.0.1")
    assert canary not in await everything(server)
    await client.close()


async def test_ten_failed_sign_ins_warn_the_administrators(server: LiveServer) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http:
        for n in range(40):
            await http.post("/auth/login", json={"username": "ann", "password": f"wrong password number {n}"})
            if n >= 5:  # the backoff lets a try through now and then
                await server_forgets_failures(server)
    await flush(server)

    async def warned() -> str | None:
        events = await server.parts.database.run(lambda c: read_after(c, 0))
        notes = [e.note for e in events if e.type == "access.warning" and "sign-ins of ann" in e.note]
        return notes[0] if notes else None

    assert await until(warned) == "10 sign-ins of ann failed within 10 min"


async def server_forgets_failures(server: LiveServer) -> None:
    await server.parts.database.run(lambda c: c.execute(text("DELETE FROM login_failures")))


async def test_a_storm_of_strangers_is_one_entry_a_minute(server: LiveServer) -> None:
    vm = await server.vm("test")
    headers = {"Authorization": "Bearer stolen-or-invented-token"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
        for _ in range(20):
            await asyncio.gather(*(http.post(f"/api/vm/vms/{vm.id}/stop") for _ in range(20)))
    await flush(server)
    found = await entries(server, "action:request result:refused")
    assert sum(entry.times for entry in found) == 400
    assert len(found) <= 2, "one, or two when a minute ended in between"
    assert (
        found[0].detail.endswith("refused requests without a valid token within a minute: 400 × 401") or len(found) == 2
    )
    assert "stolen-or-invented" not in await everything(server)


async def test_a_user_who_is_refused_again_and_again_fills_no_disk(server: LiveServer) -> None:
    member = await server.member("bob", Role.VIEWER)
    for _ in range(10):
        await asyncio.gather(*(member.call(vms.PAUSE, vm_id=NOBODY) for _ in range(20)), return_exceptions=True)

    async def all_counted() -> list[AuditEntry] | None:
        await flush(server)
        found = (
            await server.admin.call(audit.LIST, query=AuditQuery(q="who:bob result:refused", page_size=1000))
        ).items
        return found if sum(entry.times for entry in found) == 200 else None

    assert len(await until(all_counted)) <= 125, "60 a minute, and one for the others"
    await member.close()


async def test_images_are_recorded_before_and_after_their_changes(server: LiveServer) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield bytes(512)

    query = images.ImageQuery(format="raw")
    await server.admin.upload(images.PUT, content(), 512, query=query, name="blank")
    await server.admin.call(images.DELETE, name="blank")
    found = await entries(server, "target:blank", 4)
    assert [(e.action, e.result) for e in reversed(found)] == [
        ("image.upload", "accepted"),
        ("image.upload", "done"),
        ("image.delete", "accepted"),
        ("image.delete", "done"),
    ]
    assert "512 bytes, SHA-256 " in found[2].detail
    with pytest.raises(errors.NotFound):
        await server.admin.call(images.DELETE, name="blank")
    assert (await entries(server, "target:blank result:refused"))[0].status == 404


async def test_a_socket_that_is_refused_is_recorded(server: LiveServer) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(server.url.replace("http", "ws") + "/ws/events/v1", origin="https://evil.example"):  # type: ignore[arg-type]
            pass
    await flush(server)

    async def counted() -> bool | None:
        await flush(server)
        page = await server.admin.call(audit.LIST, query=AuditQuery(q="action:request result:refused"))
        return True if page.items and "403" in page.items[0].detail else None

    await until(counted)


async def test_no_secret_is_ever_recorded(server: LiveServer, data_dir: Path) -> None:
    member = await server.member("bob", Role.OPERATOR)
    tokens = await member.call(access.LOGIN, body=access.Login(username="bob", password=PASSWORD))
    ticket = await member.call(access.WS_TICKET)
    await member.call(access.REFRESH, body=access.Refresh(refresh_token=tokens.refresh_token))
    canaries = [PASSWORD, tokens.token, tokens.refresh_token, ticket.ticket, (data_dir / "audit-key").read_text()]
    async with httpx.AsyncClient(base_url=server.url) as http:
        for canary in list(canaries):
            await http.post("/auth/login", json={"username": canary[:200], "password": canary[:200]})
            await http.get("/api/vm/vms", headers={"Authorization": f"Bearer {canary[:50]}"})
            await http.post("/auth/refresh", json={"refresh_token": canary[:100]})
            await http.post(
                "/auth/register", json={"username": "eve", "password": PASSWORD, "setup_token": canary[:100]}
            )
    await member.call(access.LOGOUT)
    await flush(server)
    stored = await everything(server)
    assert "sign-out" in stored
    assert [canary for canary in canaries if canary[:40] in stored] == []
    await member.close()


async def everything(server: LiveServer) -> str:
    """All text of the audit log."""

    async def read(conn: Connection) -> str:
        rows = await conn.execute(text("SELECT to_jsonb(e)::text FROM audit_entries e"))
        return "\n".join(rows.scalars())

    return await server.parts.database.run(read, read_only=True)


async def test_changes_of_tenants_and_invitations_are_recorded(server: LiveServer) -> None:
    await server.admin.call(tenants.CREATE, body=tenants.TenantCreate(id="red"))
    await server.admin.call(tenants.CHANGE, body=tenants.TenantChange(max_vms=3), tenant="red")
    made = await server.admin.call(people.INVITE, body=people.InvitationCreate(tenant="red"))
    await server.admin.call(people.REVOKE_INVITATION, invitation_id=made.invitation.id)
    await server.admin.call(tenants.DELETE, tenant="red")
    recorded = [each for each in await entries(server, "who:ann result:done since:1h", 5) if each.tenant == "red"]
    assert [(each.action, each.target.id) for each in reversed(recorded)] == [
        ("access.tenant_created", "red"),
        ("access.tenant_changed", "red"),
        ("access.invitation_created", made.invitation.id),
        ("access.invitation_revoked", made.invitation.id),
        ("access.tenant_deleted", "red"),
    ]
    assert {(each.role, each.address) for each in recorded} == {("administrator", "127.0.0.1")}
    assert made.code not in str(recorded)


async def test_request_to_another_name_with_a_token_does_not_stop_the_log(server: LiveServer) -> None:
    headers = {"Host": "rebind.evil.example", "Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/api/vm/vms", headers=headers)).status_code == 403
    with pytest.raises(errors.NotFound):
        await server.admin.call(vms.PAUSE, vm_id=NOBODY)
    assert await entries(server, "who:ann result:refused action:vm.pause")
    assert server.parts.background.check().status == "healthy"


async def test_refusal_that_cannot_be_recorded_is_counted_and_costs_no_other(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = server.parts.audit.refusals
    real = refusals._draft

    def draft(asked: Asked, accounts: dict[str, access.User]) -> object:
        if asked.path.get("vm_id") == "poison":
            raise RuntimeError("planted")
        return real(asked, accounts)

    monkeypatch.setattr(refusals, "_draft", draft)
    for vm_id in ("poison", NOBODY):
        with pytest.raises(errors.NotFound):
            await server.admin.call(vms.PAUSE, vm_id=vm_id)
    assert await entries(server, "who:ann result:refused action:vm.pause")
    assert await entries(server, "action:audit.lost")
    assert server.parts.background.check().status == "healthy"
