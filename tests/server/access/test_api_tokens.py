"""API tokens: limited to their scope, never more than their user, and gone within two seconds."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from novacron_core.api import (
    access,
    api_tokens,
    audit,
    hosts,
    operations,
    people,
    second_factor,
    sessions,
    stored_events,
    vms,
    volumes,
)
from novacron_core.api.base import ListQuery
from novacron_core.api.events import CLOSE_UNAUTHENTICATED
from novacron_core.client import Client, Credentials
from novacron_core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    ReauthenticationRequired,
    Unauthenticated,
    ValidationFailed,
)
from novacron_core.values.roles import GRANTABLE, Permission, Role
from novacron_server.access.api_tokens import live
from tests.support.access import execute
from tests.support.accounts import PASSWORD
from tests.support.api_tokens import create, with_token
from tests.support.event_stream import frame, open_with, until_frame
from tests.support.fair_clock import fair_now
from tests.support.images import add_image
from tests.support.requests import vm_request
from tests.support.server import LiveServer
from tests.support.waiting import until

SOON_S = 2.5
QUERY = ListQuery()


async def test_token_is_shown_once_and_stored_as_a_fingerprint(server: LiveServer, owner_url: str) -> None:
    made = await create(server.admin)
    assert made.token.startswith("nvt_") and len(made.token) == 47
    assert (made.api_token.name, made.api_token.username, made.api_token.tenant) == ("ci", "ann", "default")
    listed = await server.admin.call(api_tokens.LIST, query=QUERY)
    assert [each.id for each in listed.items] == [made.api_token.id]
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        for table in ("api_tokens", "events", "sessions", "users"):
            rows = str(await (await conn.execute(f"SELECT * FROM {table}")).fetchall())
            assert made.token not in rows and made.token[4:] not in rows
    async with Client(server.url, Credentials(made.token)) as script:
        who = (await script.call(access.VALIDATE)).user
        assert (who.username, who.role) == ("ann", Role.ADMINISTRATOR)
        assert set(who.scope or []) == {*GRANTABLE, "public", "signed_in"}
        assert (await script.call(vms.LIST, query=vms.VMQuery())).total == 1


async def test_token_does_not_grow_with_its_user(server: LiveServer) -> None:
    """Who has stolen that of a viewer never gets an operator's; with fewer rights it goes on."""
    bob = await server.member("bob", Role.OPERATOR)
    user_id = (await bob.call(access.VALIDATE)).user.id
    made = await create(bob)
    async with Client(server.url, Credentials(made.token)) as script:

        async def become(role: Role) -> None:
            body = people.MemberRole(role=role)
            await server.admin.call(people.SET_ROLE, body=body, tenant="default", user_id=user_id)

        await become(Role.VIEWER)
        assert (await script.call(access.VALIDATE)).user.role is Role.VIEWER
        await become(Role.OPERATOR)
        with pytest.raises(Unauthenticated):
            await script.call(access.VALIDATE)
    await bob.sign_in("bob", PASSWORD)
    async with await with_token(server, bob, "again") as script:
        await server.admin.call(people.CHANGE, body=people.PersonChange(administrator=True), user_id=user_id)
        with pytest.raises(Unauthenticated):
            await script.call(access.VALIDATE)
    await bob.close()


async def test_read_only_token_reads_and_changes_nothing(server: LiveServer) -> None:
    vm = await server.vm("test")
    async with await with_token(server, server.admin, read_only=True) as script:
        assert (await script.call(vms.GET, vm_id=vm.id)).id == vm.id
        with pytest.raises(Forbidden, match="this API token is limited: it lacks the permission vm:change"):
            await script.call(vms.POWER_OFF, vm_id=vm.id)
        with pytest.raises(Forbidden):
            await script.call(volumes.DELETE, volume_id=str(uuid4()))
        with pytest.raises(Forbidden, match="people:change"):
            await script.call(sessions.LIST_OF_USER, query=QUERY, user_id=str(uuid4()))


SELF_SERVICE: list[tuple[Any, dict[str, Any]]] = [
    (api_tokens.CREATE, {"body": api_tokens.CreateApiToken(name="more")}),
    (api_tokens.REVOKE, {"token_id": str(uuid4())}),
    (sessions.END, {"session_id": str(uuid4())}),
    (access.LOGOUT, {}),
    (second_factor.BEGIN, {"body": second_factor.BeginTotp(password=PASSWORD)}),
    (second_factor.CONFIRM, {"body": second_factor.ConfirmTotp(code="000000")}),
    (second_factor.END, {"body": second_factor.EndTotp(password=PASSWORD, code="000000")}),
    (second_factor.PROVE, {"body": second_factor.Prove(password=PASSWORD)}),
]


async def test_token_never_changes_its_own_account(server: LiveServer) -> None:
    async with await with_token(server, server.admin) as script:
        for endpoint, values in SELF_SERVICE:
            with pytest.raises(Forbidden, match="self:"):
                await script.call(endpoint, **values)
        assert (await script.call(access.VALIDATE)).valid


async def test_token_ends_nothing_of_its_own_user_as_one_who_looks_after_people_either(server: LiveServer) -> None:
    me = (await server.admin.call(access.VALIDATE)).user.id
    mine = (await server.admin.call(sessions.LIST, query=QUERY)).items[0]
    other, bobs = await create(server.admin, "other"), await create(await server.member("bob", Role.VIEWER))
    async with await with_token(server, server.admin) as script:
        with pytest.raises(Forbidden, match="of its own user"):
            await script.call(sessions.END_OF_USER, user_id=me, session_id=mine.id)
        with pytest.raises(Forbidden, match="of its own user"):
            await script.call(api_tokens.REVOKE_ANY, token_id=other.api_token.id)
        await script.call(api_tokens.REVOKE_ANY, token_id=bobs.api_token.id)
    assert (await server.admin.call(api_tokens.LIST, query=QUERY)).total == 2


async def test_token_of_few_permissions_gets_no_other_events_and_samples(server: LiveServer) -> None:
    vm = await server.vm("test")
    only_hosts = ["event:read", "host:read"]
    limited = await with_token(server, server.admin, permissions=[Permission(each) for each in only_hosts])
    async with limited, open_with(limited, server) as narrow, open_with(server.admin, server) as wide:
        inventory = await until_frame(narrow, lambda f: f["frame"] == "inventory")
        assert inventory["last"] and not inventory.get("vms") and inventory["hosts"]
        await until_frame(wide, lambda f: f["frame"] == "inventory" and f["last"])
        for socket in (narrow, wide):
            await socket.send(json.dumps({"frame": "subscribe", "samples": {"targets": "*", "interval_s": 1}}))
        await until_frame(wide, lambda f: f["frame"] == "samples" and vm.id in f["vms"])
        assert (await until_frame(narrow, lambda f: f["frame"] == "samples"))["vms"] == {}
        operation = await server.admin.call(vms.POWER_OFF, vm_id=vm.id)
        await server.ended(operation)
        await until_frame(wide, lambda f: f["frame"] == "event" and f["type"] == "vm.stopped")
        await narrow.send(json.dumps({"frame": "ping"}))
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["frame"] != "pong":
            seen.append(await frame(narrow))
        kinds = {f["type"].split(".")[0] for f in seen if f["frame"] == "event"}
        assert kinds <= {"host", "system"}, kinds
        assert not any(f["vms"] for f in seen if f["frame"] == "samples")
        stored = await limited.call(stored_events.LIST, query=stored_events.EventQuery())
        assert {event.type.split(".")[0] for event in stored.items} <= {"host", "system"}
        everything = await server.admin.call(stored_events.LIST, query=stored_events.EventQuery())
        assert {"vm", "access"} <= {event.type.split(".")[0] for event in everything.items}
        with pytest.raises(Forbidden):
            await limited.call(operations.LIST, query=QUERY)


async def test_token_without_events_opens_no_stream_also_by_a_ticket(server: LiveServer) -> None:
    async with await with_token(server, server.admin, permissions=[Permission.VM_READ]) as script:
        with pytest.raises(InvalidStatus):
            await open_with(script, server)
        ticket = (await script.call(access.WS_TICKET)).ticket
        nobody = Client(server.url)
        with pytest.raises(InvalidStatus):
            await open_with(nobody, server, f"?ticket={ticket}")


async def test_permissions_that_cannot_be_given_are_refused(server: LiveServer) -> None:
    bob = await server.member("bob", Role.VIEWER)
    for given, why in (
        ({"permissions": [Permission.VM_CHANGE]}, "your role"),
        ({"permissions": [Permission.ACCESS_ADMIN]}, "your role"),
        ({"permissions": [Permission.SELF_CHANGE]}, "cannot be given"),
        ({"permissions": [Permission.SELF_SIGN_IN]}, "cannot be given"),
        ({"permissions": [Permission.SIGNED_IN]}, "at least one"),
        ({"permissions": []}, "at least one"),
        ({"permissions": [Permission.VM_READ], "read_only": True}, "not both"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 367}, "expires_in_days"),
    ):
        with pytest.raises(ValidationFailed, match=why):
            await create(bob, **given)
    for name in ("", "A", "a b", "-x", "x" * 64, "../x", "x\n"):
        with pytest.raises(ValidationFailed):
            await create(bob, name)
    assert (await bob.call(api_tokens.LIST, query=QUERY)).total == 0


async def test_name_is_unique_until_the_token_ends(server: LiveServer, owner_url: str) -> None:
    made = await create(server.admin)
    with pytest.raises(Conflict, match="already have an API token ci"):
        await create(server.admin)
    await server.admin.call(api_tokens.REVOKE, token_id=made.api_token.id)
    await create(server.admin)
    await execute(owner_url, "UPDATE api_tokens SET expires_at = now() - interval '1 s'")
    await create(server.admin)
    assert (await server.admin.call(api_tokens.LIST, query=QUERY)).total == 1


async def test_too_many_tokens_are_refused(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("novacron_server.access.api_tokens.service.MAX_PER_USER", 3)
    results = await asyncio.gather(*(create(server.admin, f"t{n}") for n in range(8)), return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in results) == 5
    assert (await server.admin.call(api_tokens.LIST, query=QUERY)).total == 3


async def test_creating_one_needs_a_recent_proof(server: LiveServer, owner_url: str) -> None:
    await execute(owner_url, "UPDATE sessions SET proved_at = now() - interval '11 minutes'")
    with pytest.raises(ReauthenticationRequired) as refused:
        await create(server.admin)
    assert (refused.value.code, refused.value.status) == ("reauthentication_required", 403)
    with pytest.raises(Forbidden, match="The password is wrong"):
        await server.admin.call(second_factor.PROVE, body=second_factor.Prove(password="wrong"))
    with pytest.raises(ReauthenticationRequired):
        await create(server.admin)
    await server.admin.call(second_factor.PROVE, body=second_factor.Prove(password=PASSWORD))
    assert (await create(server.admin)).token


Ending = Callable[[LiveServer, str, str], Awaitable[object]]


def by_sql(statement: str) -> Ending:
    async def end(server: LiveServer, owner_url: str, token_id: str) -> None:
        await execute(owner_url, statement)

    return end


async def by_its_user(server: LiveServer, owner_url: str, token_id: str) -> None:
    async with Client(server.url) as bob:
        await bob.sign_in("bob", PASSWORD)
        await bob.call(api_tokens.REVOKE, token_id=token_id)


async def by_an_administrator(server: LiveServer, owner_url: str, token_id: str) -> None:
    await server.admin.call(api_tokens.REVOKE_ANY, token_id=token_id)


ENDINGS = {
    "revoked": by_its_user,
    "revoked by an administrator": by_an_administrator,
    "revoked elsewhere": by_sql("UPDATE api_tokens SET revoked_at = now()"),
    "expired": by_sql("UPDATE api_tokens SET expires_at = now() - interval '1 s'"),
    "user disabled": by_sql("UPDATE users SET disabled = true WHERE username = 'bob'"),
    "user deleted": by_sql("DELETE FROM users WHERE username = 'bob'"),
    "no longer a member": by_sql("DELETE FROM memberships USING users WHERE id = user_id AND username = 'bob'"),
}


@pytest.mark.parametrize("how", ENDINGS)
async def test_ended_token_is_refused_and_its_sockets_close(server: LiveServer, owner_url: str, how: str) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    made = await create(bob)
    async with Client(server.url, Credentials(made.token)) as script, open_with(script, server) as by_header:
        ticket = (await script.call(access.WS_TICKET)).ticket
        async with open_with(Client(server.url), server, f"?ticket={ticket}") as by_ticket:
            for socket in (by_header, by_ticket):
                await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
            spare = (await script.call(access.WS_TICKET)).ticket
            await ENDINGS[how](server, owner_url, made.api_token.id)
            began = fair_now()
            for socket in (by_header, by_ticket):
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        await frame(socket)
                assert closed.value.rcvd is not None and closed.value.rcvd.code == CLOSE_UNAUTHENTICATED
            assert fair_now() - began < SOON_S
        with pytest.raises(Unauthenticated, match="This API token is not valid"):
            await script.call(vms.LIST, query=vms.VMQuery())
        with pytest.raises(InvalidStatus):
            await open_with(Client(server.url), server, f"?ticket={spare}")


@pytest.mark.parametrize("how", ["removed", "disabled"])
async def test_nothing_is_valid_again_when_its_user_comes_back(server: LiveServer, how: str) -> None:
    """Neither the API token, nor the access token and the refresh token of the session."""
    bob = await server.member("bob", Role.OPERATOR)
    bob_id = (await bob.call(access.VALIDATE)).user.id
    script, refresh = await with_token(server, bob), access.Refresh(refresh_token=bob.credentials.refresh_token)
    if how == "removed":
        await server.admin.call(people.REMOVE_MEMBER, tenant="default", user_id=bob_id)
        role = people.MemberRole(role=Role.OPERATOR)
        await server.admin.call(people.SET_ROLE, body=role, tenant="default", user_id=bob_id)
    else:
        for disabled in (True, False):
            await server.admin.call(people.CHANGE, body=people.PersonChange(disabled=disabled), user_id=bob_id)

    async def refused() -> bool | None:
        try:
            await script.call(access.VALIDATE)
        except Unauthenticated:
            return True
        return None

    await until(refused)
    async with Client(server.url, Credentials(bob.credentials.token)) as thief:
        with pytest.raises(Unauthenticated):
            await thief.call(access.VALIDATE)
        with pytest.raises(Unauthenticated):
            await thief.call(access.REFRESH, body=refresh)
    await script.close()


async def test_token_loses_what_its_user_loses(server: LiveServer, owner_url: str) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    vm = await server.vm("test")
    async with await with_token(server, bob) as script, open_with(script, server) as socket:
        with pytest.raises(NotFound):
            await script.call(vms.POWER_OFF, vm_id=vm.id)  # permitted, but the VM is nobody's
        await execute(
            owner_url, "UPDATE memberships SET role = 'viewer' FROM users WHERE id = user_id AND username = 'bob'"
        )
        with pytest.raises(ConnectionClosed):
            while True:
                await frame(socket)
        with pytest.raises(Forbidden, match=r"your role \(viewer\) lacks the permission vm:change"):
            await script.call(vms.POWER_OFF, vm_id=vm.id)
        assert (await script.call(access.VALIDATE)).user.role is Role.VIEWER


async def test_token_stays_in_its_tenant(server: LiveServer, owner_url: str) -> None:
    bob = await server.member("bob", Role.OPERATOR)
    async with await with_token(server, bob) as script:
        await execute(
            owner_url,
            "INSERT INTO tenants (id, name) VALUES ('red', 'red');"
            "INSERT INTO memberships (user_id, tenant, role) SELECT id, 'red', 'owner' FROM users WHERE username = 'bob';"
            "UPDATE users SET tenant = 'red' WHERE username = 'bob'",
        )
        who = (await script.call(access.VALIDATE)).user
        assert (who.tenant, who.role, len(who.memberships)) == ("default", Role.OPERATOR, 1)


async def test_token_is_recorded_in_the_tenant_where_it_acts(server: LiveServer, owner_url: str) -> None:
    """The owners there must find it, and those of its user's other tenants must not."""
    bob = await server.member("bob", Role.OPERATOR)
    await execute(
        owner_url,
        "INSERT INTO tenants (id, name) VALUES ('red', 'red');"
        "INSERT INTO memberships (user_id, tenant, role) SELECT id, 'red', 'operator' FROM users WHERE username = 'bob'",
    )
    switched = await bob.call(access.SWITCH_TENANT, body=access.SwitchTenant(tenant="red"))
    async with Client(server.url, Credentials(switched.token)) as in_red:
        mine, theirs = await create(in_red, "mine"), await create(in_red, "theirs")
        await in_red.call(api_tokens.REVOKE, token_id=mine.api_token.id)
    await server.admin.call(api_tokens.REVOKE_ANY, token_id=theirs.api_token.id)
    query = stored_events.EventQuery(q="type:access.token")
    found = (await server.admin.call(stored_events.LIST, query=query)).items
    assert [(event.type.rpartition("_")[2], event.note, event.tenant) for event in reversed(found)] == [
        ("created", "API token mine", "red"),
        ("created", "API token theirs", "red"),
        ("revoked", "API token mine", "red"),
        ("revoked", "API token theirs", "red"),
    ]
    recorded = (await server.admin.call(audit.LIST, query=audit.AuditQuery(q="action:access.token"))).items
    assert [entry.tenant for entry in recorded] == ["red"] * 4


async def test_tokens_of_others_are_as_missing(server: LiveServer, owner_url: str) -> None:
    bob, carol = await server.member("bob", Role.VIEWER), await server.member("carol", Role.VIEWER)
    made = await create(bob)
    await execute(
        owner_url,
        "INSERT INTO tenants (id, name) VALUES ('red', 'red');"
        "UPDATE memberships SET role = 'owner', tenant = 'red' FROM users WHERE id = user_id AND username = 'carol';"
        "UPDATE users SET tenant = 'red' WHERE username = 'carol'",
    )
    await carol.sign_in("carol", PASSWORD)
    answers = set()
    http = httpx.AsyncClient(base_url=server.url)
    for path in ("/auth/tokens/", "/api/admin/tokens/"):
        for token_id in (made.api_token.id, str(uuid4()), "nonsense"):
            headers = {"Authorization": carol.credentials.authorization}
            answer = await http.delete(f"{path}{token_id}", headers=headers)
            body = answer.json()
            body.pop("request_id")
            answers.add((answer.status_code, json.dumps(body)))
    await http.aclose()
    assert len(answers) == 1 and answers.pop()[0] == 404
    assert (await carol.call(api_tokens.LIST_ALL, query=QUERY)).total == 0
    assert [each.username for each in (await server.admin.call(api_tokens.LIST_ALL, query=QUERY)).items] == ["bob"]
    await execute(owner_url, "UPDATE api_tokens SET tenant = 'red'")
    assert (await carol.call(api_tokens.LIST_ALL, query=QUERY)).total == 1
    with pytest.raises(Forbidden):
        await bob.call(api_tokens.LIST_ALL, query=QUERY)


async def test_last_use_and_address_are_kept(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with await with_token(server, server.admin) as script:
        assert (await server.admin.call(api_tokens.LIST, query=QUERY)).items[0].last_used_at is None
        await script.call(access.VALIDATE)

        async def used() -> api_tokens.ApiToken | None:
            found = (await server.admin.call(api_tokens.LIST, query=QUERY)).items[0]
            return found if found.last_used_at else None

        first = await until(used)
        assert first.last_address == "127.0.0.1"
        for _ in range(20):
            await script.call(access.VALIDATE)
        assert not server.parts.access._api_tokens._uses, "written at most once a minute"
        monkeypatch.setattr(live, "NOTE_EVERY_S", 0.0)
        await script.call(access.VALIDATE)

        async def used_again() -> bool | None:
            found = await used()
            return True if found and found.last_used_at != first.last_used_at else None

        assert await until(used_again)


def _flipped(token: str, at: int) -> str:
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


def _bad_tokens(token: str, revoked: str, expired: str, jwt_: str) -> dict[str, str]:
    head, body, signature = jwt_.split(".")
    decoded = base64.urlsafe_b64decode(body + "==").decode()
    raised = base64.urlsafe_b64encode(decoded.replace("viewer", "administrator").encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    texts = {
        "revoked": revoked, "expired": expired, "nothing but the prefix": "nvt_", "no prefix": token[4:],
        "other prefix": "nvx_" + token[4:], "capital prefix": "NVT_" + token[4:], "double prefix": "nvt_" + token,
        "longer": token + "A", "shorter": token[:-1], "padded": token + "=", "reversed": "nvt_" + token[:3:-1],
        "lower case": "nvt_" + token[4:].lower(), "upper case": "nvt_" + token[4:].upper(),
        "other alphabet": "nvt_" + "+/" * 21 + "x", "zeros": "nvt_" + "0" * 43, "NUL": token[:-1] + "\0",
        "UTF-8": token[:-1] + "é", "wide digits": token[:-2] + "１", "percent": "nvt_%25" + token[8:],
        "SQL": "nvt_' OR 1=1 --" + "x" * 32, "quoted": f'"{token}"', "two tokens": f"{token} {token}",
        "comma": f"{token},{token}", "huge": "nvt_" + "A" * 6000, "its hash": "nvt_" + base64.urlsafe_b64encode(b"h" * 32).decode()[:43],
        "JWT in its place": "nvt_" + jwt_[:43], "dots": "nvt_" + "." * 43, "tabs": token.replace("nvt_", "nvt_\t"),
        "JWT without signature": f"{head}.{body}.", "JWT of no algorithm": f"{none}.{body}.", "raised JWT": f"{head}.{raised}.{signature}",
        "JWT cut": jwt_[:-4], "JWT doubled": f"{jwt_}.{signature}", "JWT of other head": f"{none}.{body}.{signature}",
        "empty JWT": "..", "JWT parts swapped": f"{body}.{head}.{signature}",
    }  # fmt: skip
    flips = {f"flipped at {at}": _flipped(token, at) for at in (4, 10, 20, 30, 40, 45)}
    return {**texts, **flips}


async def test_every_bad_token_is_refused_alike(server: LiveServer, owner_url: str) -> None:
    bob = await server.member("bob", Role.VIEWER)
    revoked, expired, good = [await create(bob, name) for name in ("revoked", "expired", "good")]
    await bob.call(api_tokens.REVOKE, token_id=revoked.api_token.id)
    await execute(owner_url, "UPDATE api_tokens SET expires_at = now() - interval '1 s' WHERE name = 'expired'")
    bad = _bad_tokens(good.token, revoked.token, expired.token, bob.credentials.token)
    assert len(bad) >= 40
    accepted, sentences = [], set()
    async with httpx.AsyncClient(base_url=server.url) as http:
        for name, token in bad.items():
            header = f"Bearer {token}".encode()
            try:
                answer = await http.get("/auth/validate", headers=[(b"authorization", header)])
            except (httpx.LocalProtocolError, httpx.RemoteProtocolError):
                continue  # no header can carry it
            if answer.status_code not in (400, 401, 431):
                accepted.append((name, answer.status_code))
            elif answer.status_code == 401:
                sentences.add(answer.json()["detail"])
        assert accepted == []
        assert len(sentences) <= 3, sentences
        right = await http.get("/auth/validate", headers={"Authorization": f"Bearer {good.token}"})
        assert right.status_code == 200


@pytest.mark.parametrize(
    ("more", "told", "hidden"),
    [
        ({"memory_bytes": 1 << 40}, " in all", "the host has less"),
        ({"network": "nowhere"}, ". Choose one of: default, user", "no such active network"),
    ],
)
async def test_refusals_tell_a_token_that_reads_no_hosts_nothing_of_them(
    server: LiveServer, more: dict[str, Any], told: str, hidden: str
) -> None:
    add_image(server.data_dir)
    permissions = [Permission.VM_READ, Permission.VM_CHANGE]
    async with await with_token(server, server.admin, permissions=permissions) as script:
        for client, words in ((server.admin, told), (script, hidden)):
            with pytest.raises(ValidationFailed) as refused:
                await client.call(vms.CREATE, body=vm_request("new", **more))
            message = (refused.value.fields or [])[0].message
            assert message.endswith(words), message
    (host,) = (await server.admin.call(hosts.LIST)).items
    assert host.name not in hidden
