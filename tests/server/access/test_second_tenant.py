"""What a hostile second tenant tried: names of others and places of hosts, by ways beside the lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import (
    access,
    audit,
    health,
    hosts,
    images,
    operations,
    people,
    stored_events,
    usage,
    vms,
    volumes,
)
from novacron_core.api.access import Register
from novacron_core.api.base import ListQuery
from novacron_core.api.people import InvitationCreate
from novacron_core.api.vms import BulkRequest
from novacron_core.api.volumes import VolumeAttach, VolumeClone, VolumeCreate
from novacron_core.client import Client
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission, Role
from novacron_server.file_calls import DoesNotRespond
from novacron_server.hypervisor.connection.connection import ConnectionLost
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.vms import domains
from novacron_server.runtime.settings import Settings
from novacron_server.volumes.users import VolumeUsers
from tests.support.access import HERE, AccessUnderTest
from tests.support.accounts import PASSWORD
from tests.support.api_tokens import with_token
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.quotas import MIB
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer, running
from tests.support.tenants import add_tenant, members_of
from tests.support.waiting import until

PATH = "/srv/secret/web-01.qcow2"


@dataclass
class Red:
    """The tenant red with its owner rita, its operator rob and its viewer vic; bob is an operator of default."""

    server: LiveServer
    rita: Client
    rob: Client
    vic: Client
    bob: Client


@pytest.fixture
async def red(server: LiveServer, image: str, owner_url: str) -> AsyncIterator[Red]:
    await add_tenant(owner_url, "red")
    people: tuple[tuple[str, str, Role], ...] = (
        ("rita", "red", Role.OWNER),
        ("rob", "red", Role.OPERATOR),
        ("vic", "red", Role.VIEWER),
        ("bob", "default", Role.OPERATOR),
    )
    async with members_of(server, owner_url, *people) as clients:
        yield Red(server, *clients)


async def refuse(*_: object, **__: object) -> None:
    raise errors.Conflict(f"the disk {PATH} cannot be used: No space left on device")


async def hang(*_: object, **__: object) -> None:
    raise DoesNotRespond(f"{PATH} does not respond: is its file server down?")


async def made_volume(red: Red) -> str:
    await three_pools(red.server)
    body = VolumeCreate(name="data", size_bytes=8 * MIB)
    return (await succeeded(red.server, await red.rob.call(volumes.CREATE, body=body))).target.id


async def test_repeated_request_gets_the_operation_without_paths(red: Red, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LibvirtHost, "define", refuse)
    first = await red.rob.call(vms.CREATE, body=vm_request(), idempotency_key="k1")
    await red.server.ended(first)
    again = await red.rob.call(vms.CREATE, body=vm_request(), idempotency_key="k1")
    assert again.id == first.id
    assert again.problem is not None
    assert "cannot be used" in again.problem.detail
    assert PATH not in str(again)


async def test_items_of_a_bulk_are_not_found_by_paths(red: Red, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = await succeeded(red.server, await red.rob.call(vms.CREATE, body=vm_request(start=False)))
    monkeypatch.setattr(LibvirtHost, "start", refuse)
    bulk = await red.rob.call(vms.BULK, body=BulkRequest(action="start", ids=[vm.target.id]))
    await red.server.ended(bulk)
    for client, words, found in (
        (red.vic, "/srv/sec", 0),
        (red.server.admin, "/srv/sec", 1),
        (red.vic, "web-01 fail", 1),
    ):
        page = await client.call(operations.CHILDREN, operation_id=bulk.id, query=ListQuery(q=words))
        assert page.total == found, words


async def test_audit_log_of_a_tenant_tells_nothing_that_an_administrator_was_told(
    red: Red, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = red.server
    theirs = await succeeded(server, await red.bob.call(vms.CREATE, body=vm_request("payroll-db", start=False)))
    volume = await made_volume(red)
    with pytest.raises(errors.Conflict, match="payroll-db"):
        await server.admin.call(volumes.ATTACH, body=VolumeAttach(vm=theirs.target.id), volume_id=volume)
    monkeypatch.setattr(VolumeUsers, "only", hang)
    with pytest.raises(errors.Conflict, match="does not respond"):
        await server.admin.call(volumes.DELETE, volume_id=volume)
    await server.parts.audit.refusals.write()
    said = str((await server.admin.call(audit.LIST)).items)
    assert "payroll-db" in said
    assert PATH in said
    assert red.rita.credentials is not None
    async with httpx.AsyncClient(base_url=server.url) as http:
        lines = await http.get("/api/admin/audit/export", headers={"Authorization": red.rita.credentials.authorization})
    for read in (str((await red.rita.call(audit.LIST)).items), lines.text):
        assert "volume.create" in read
        assert "payroll-db" not in read
        assert PATH not in read


async def test_note_of_a_volume_names_no_path(red: Red, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_id, state = await made_volume(red), red.server.parts.inventory.state
    volume = state.storage.volume(volume_id)
    assert volume is not None
    noted = msgspec.structs.replace(volume, note=f"its backing file {PATH} is missing: without it, it cannot be read")
    monkeypatch.setattr(state.storage, "volume", lambda _: noted)
    seen = await red.vic.call(volumes.GET, volume_id=volume_id)
    assert seen.note == "its backing file … is missing: without it, it cannot be read"


async def test_copy_by_an_administrator_stays_in_the_tenant_of_its_source(red: Red) -> None:
    """Its operation is the tenant's: it would name to red what is another tenant's, and red's data would have left it."""
    body = VolumeClone(name="evidence")
    volume_id = await made_volume(red)
    copied = await succeeded(red.server, await red.server.admin.call(volumes.CLONE, body=body, volume_id=volume_id))
    (copy,) = [v for v in (await red.vic.call(volumes.LIST)).items if v.name == "red~evidence"]
    assert (copy.tenant, copy.owner) == ("red", "rob")
    (rob,) = [each for each in (await red.rita.call(people.LIST)).items if each.username == "rob"]
    await red.rita.call(people.REMOVE_MEMBER, user_id=rob.id, tenant="red")
    body = VolumeClone(name="later")
    await succeeded(red.server, await red.server.admin.call(volumes.CLONE, body=body, volume_id=volume_id))
    (later,) = [v for v in (await red.vic.call(volumes.LIST)).items if v.name == "red~later"]
    assert later.owner == "ann", "rob is no member any more"
    assert copy.id in [lock.id for lock in copied.locks]
    with pytest.raises(errors.NotFound):
        await red.bob.call(volumes.GET, volume_id=copy.id)


async def test_problem_of_an_image_names_no_directory(red: Red, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("novacron_server.images.service._being_written", hang)
    (red.server.data_dir / "images" / "new.raw").write_bytes(bytes(MIB))
    for client, place in ((red.vic, "…"), (red.server.admin, PATH)):
        problems = {image.name: image.problem for image in (await client.call(images.LIST)).items}
        assert problems["new"].startswith(f"{place} does not respond")


async def test_token_without_host_read_reads_no_host(red: Red) -> None:
    async with await with_token(red.server, red.rob, permissions=[Permission.VM_READ]) as token:
        with pytest.raises(errors.Forbidden):
            await token.call(hosts.LIST)
        assert (await token.call(usage.NOW)).hosts == []
        by_name = vms.VMQuery(q=f"host:{(await red.rob.call(hosts.LIST)).items[0].name}")
        await succeeded(red.server, await red.rob.call(vms.CREATE, body=vm_request(start=False)))
        assert (await token.call(vms.LIST, query=by_name)).total == 0
        assert (await red.rob.call(vms.LIST, query=by_name)).total == 1
    assert (await red.rob.call(usage.NOW)).hosts


async def test_members_are_not_told_where_a_host_is_that_does_not_respond(
    owner_url: str, database_url: str, data_dir: Path, uri: str
) -> None:
    settings = Settings(
        data_dir=data_dir, sign_ins_per_minute=1000, requests_per_minute=100_000, database_budget_s=LONG_BUDGET_S
    )
    down = "qemu+unix:///system?socket=/nowhere/socket"
    async with running(settings, owner_url, database_url, [uri, down]) as (url, _), Client(url) as ann:
        token = (data_dir / "setup-token").read_text().strip()
        await ann.call(access.REGISTER, body=Register(username="ann", password=PASSWORD, setup_token=token))
        await ann.sign_in("ann", PASSWORD)
        await ann.call(access.REGISTER, body=Register(username="vic", password=PASSWORD, role=Role.VIEWER))

        async def why(client: Client) -> str | None:
            details = [host.detail for host in (await client.call(hosts.LIST)).items]
            return next((detail for detail in details if detail not in ("", "connecting")), None)

        async with Client(url) as vic:
            await vic.sign_in("vic", PASSWORD)
            assert "/nowhere/socket" in await until(lambda: why(ann))
            assert await until(lambda: why(vic)) == "its libvirt accepts no connection"
            query = stored_events.EventQuery(q="nowhere")
            assert (await vic.call(stored_events.LIST, query=query)).total == 0
            assert "nowhere" not in str((await vic.call(stored_events.LIST)).items)
            now: usage.FleetUsage = await vic.call(usage.NOW)
            assert "nowhere" not in str(now.hosts)


async def test_session_of_before_does_not_come_back_by_a_new_invitation(ready_access: AccessUnderTest) -> None:
    run, two = ready_access, await ready_access.two_tenants()

    async def join(who: Principal, role: Role) -> None:
        code = (await run.invitations.create(two.rita, InvitationCreate(role=role))).code
        await run.invitations.join(who, code, HERE)

    async def enter_red(who: Principal) -> Principal:
        return await run.access.authenticate((await run.access.switch_tenant(who, "red")).token)

    stolen = two.bea
    _, own = await run.token_of("bea")
    await join(own, Role.VIEWER)
    with pytest.raises(errors.Forbidden, match="Sign in again"):
        await enter_red(stolen)
    assert (await enter_red(own)).role is Role.VIEWER
    _, later = await run.token_of("bea")
    assert (await enter_red(later)).role is Role.VIEWER
    await run.people.remove_member(two.rita, "red", own.user_id)
    _, fresh = await run.token_of("bea")
    await join(fresh, Role.OWNER)
    for session in (stolen, own, later):
        with pytest.raises(errors.Forbidden, match="Sign in again"):
            await enter_red(session)
    assert (await enter_red(fresh)).role is Role.OWNER


async def test_token_reads_of_its_user_what_is_of_its_tenant(red: Red, owner_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        query = (
            "INSERT INTO memberships (user_id, tenant, role) SELECT id, 'red', 'viewer' FROM users WHERE username = %s"
        )
        await owner.execute(query, ("bob",))
    async with await with_token(red.server, red.bob, permissions=[Permission.VM_READ]) as token:
        assert [each.tenant for each in (await token.call(access.VALIDATE)).user.memberships] == ["default"]
        health_now = await token.call(health.HEALTH)
        assert health_now.checks.hypervisor.hosts == []
    assert len((await red.bob.call(access.VALIDATE)).user.memberships) == 2
    assert (await red.bob.call(health.HEALTH)).checks.hypervisor.hosts


async def test_lost_connection_tells_members_no_address(red: Red, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = await succeeded(red.server, await red.rob.call(vms.CREATE, body=vm_request(start=False)))

    def lose(*_: object, **__: object) -> None:
        raise ConnectionLost("root@10.0.0.5: Permission denied (publickey)")

    monkeypatch.setattr(domains, "start", lose)
    ended = await red.server.ended(await red.rob.call(vms.START, vm_id=vm.target.id))
    assert ended.problem is not None
    assert "it refuses the sign-in" in ended.problem.detail
    assert "10.0.0.5" not in ended.problem.detail
