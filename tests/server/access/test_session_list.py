"""Sessions are listed and ended one by one, and end by themselves when nobody uses them."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed

from novacron_core.api import access, second_factor, sessions
from novacron_core.api.access import Refresh
from novacron_core.api.base import ListQuery
from novacron_core.client import Client
from novacron_core.errors import Forbidden, NotFound, Unauthenticated
from novacron_core.values.roles import Role
from tests.support.access import AccessUnderTest, execute
from tests.support.accounts import PASSWORD
from tests.support.event_stream import frame, open_with, until_frame
from tests.support.fair_clock import fair_now
from tests.support.server import LiveServer

QUERY = ListQuery()
MISSING = "00000000-0000-4000-8000-000000000000"


async def listed(client: Client) -> list[sessions.AccountSession]:
    return (await client.call(sessions.LIST, query=QUERY)).items


async def test_own_sessions_are_listed_and_ended(server: LiveServer) -> None:
    laptop = await server.member("bob", Role.VIEWER)
    async with Client(server.url) as desk:
        await desk.sign_in("bob", PASSWORD)
        found = await listed(laptop)
        assert [each.current for each in found].count(True) == 1 and len(found) == 2
        assert {each.address for each in found} == {"127.0.0.1"}
        other = next(each for each in found if not each.current)
        async with open_with(desk, server) as socket:
            await until_frame(socket, lambda f: f["frame"] == "inventory" and f["last"])
            await laptop.call(sessions.END, session_id=other.id)
            began = fair_now()
            with pytest.raises(ConnectionClosed):
                while True:
                    await frame(socket)
            assert fair_now() - began < 2.5
        with pytest.raises(Unauthenticated):
            await desk.call(access.VALIDATE)
        assert [each.current for each in await listed(laptop)] == [True]
        for gone in (other.id, MISSING, "nonsense"):
            with pytest.raises(NotFound, match="session not found"):
                await laptop.call(sessions.END, session_id=gone)


async def test_session_tells_when_its_password_was_last_given(server: LiveServer, owner_url: str) -> None:
    bob = await server.member("bob", Role.VIEWER)
    await execute(owner_url, "UPDATE sessions SET proved_at = created_at - interval '1 hour'")
    (before,) = await listed(bob)
    assert before.proved_at is not None and before.proved_at < before.created_at
    await bob.call(second_factor.PROVE, body=second_factor.Prove(password=PASSWORD))
    (after,) = await listed(bob)
    assert after.proved_at is not None and after.proved_at >= after.created_at


async def test_sessions_of_others_are_as_missing(server: LiveServer, owner_url: str) -> None:
    bob, carol = await server.member("bob", Role.VIEWER), await server.member("carol", Role.VIEWER)
    mine = (await listed(bob))[0].id
    with pytest.raises(NotFound):
        await carol.call(sessions.END, session_id=mine)
    bob_id = (await bob.call(access.VALIDATE)).user.id
    with pytest.raises(Forbidden):
        await carol.call(sessions.LIST_OF_USER, query=QUERY, user_id=bob_id)
    await execute(
        owner_url,
        "INSERT INTO tenants (id, name) VALUES ('red', 'red');"
        "UPDATE memberships SET role = 'owner', tenant = 'red' FROM users WHERE id = user_id AND username = 'carol';"
        "UPDATE users SET tenant = 'red' WHERE username = 'carol'",
    )
    await carol.sign_in("carol", PASSWORD)
    ann_id = (await server.admin.call(access.VALIDATE)).user.id
    for user_id in (bob_id, ann_id, MISSING, "nonsense"):
        with pytest.raises(NotFound, match="user not found"):
            await carol.call(sessions.LIST_OF_USER, query=QUERY, user_id=user_id)
        with pytest.raises(NotFound, match="session not found"):
            await carol.call(sessions.END_OF_USER, user_id=user_id, session_id=mine)
    await execute(
        owner_url,
        "INSERT INTO memberships (user_id, tenant, role) SELECT id, 'red', 'viewer' FROM users WHERE username = 'bob'",
    )
    assert (await carol.call(sessions.LIST_OF_USER, query=QUERY, user_id=bob_id)).items == [], "it is in another tenant"
    with pytest.raises(NotFound):
        await carol.call(sessions.END_OF_USER, user_id=bob_id, session_id=mine)
    assert (await bob.call(access.VALIDATE)).valid
    found = await server.admin.call(sessions.LIST_OF_USER, query=QUERY, user_id=bob_id)
    assert [each.id for each in found.items] == [mine]
    await server.admin.call(sessions.END_OF_USER, user_id=bob_id, session_id=mine)
    with pytest.raises(Unauthenticated):
        await bob.call(access.VALIDATE)


async def test_session_ends_after_hours_without_use(ready_access: AccessUnderTest, owner_url: str) -> None:
    used, idle = await ready_access.login(), await ready_access.login()
    await execute(owner_url, "UPDATE sessions SET last_used_at = now() - interval '11 hours 59 minutes'")
    assert (await ready_access.access.refresh(Refresh(refresh_token=used.refresh_token))).token
    await execute(
        owner_url,
        "UPDATE sessions SET last_used_at = last_used_at - interval '2 minutes' WHERE last_used_at < now() - interval '1 hour'",
    )
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=idle.refresh_token))
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=idle.refresh_token))
