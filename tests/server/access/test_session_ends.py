"""Logout, role, password and account changes end sessions, on every server within two seconds."""

from __future__ import annotations

import time

import pytest

from novacron_core.api.access import Refresh, Register
from novacron_core.api.people import PersonChange
from novacron_core.api.tenants import TenantCreate
from novacron_core.errors import Forbidden, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from tests.support.access import (
    PASSWORD,
    AccessUnderTest,
    OpenAccess,
    events,
    execute,
    expect_refused,
    until_true,
)

SOON_S = 2.5


async def test_logout_ends_the_tokens_of_its_session_only(ready_access: AccessUnderTest, database: Database) -> None:
    issued, other = await ready_access.login(), await ready_access.login()
    who = await ready_access.access.authenticate(issued.token)
    ticket = await ready_access.access.ticket(who)
    await ready_access.access.logout(who)
    assert await expect_refused(ready_access, issued.token)
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    with pytest.raises(Unauthenticated):
        await ready_access.access.redeem_ticket(ticket.ticket)
    assert ready_access.ended == [who.session_id]
    assert await ready_access.access.authenticate(other.token)
    assert (await events(database))[-1].type == "access.signed_out"
    await ready_access.access.logout(who)
    assert sum(event.type == "access.signed_out" for event in await events(database)) == 1


async def test_logout_on_one_server_ends_the_session_on_the_other(
    ready_access: AccessUnderTest, open_access: OpenAccess
) -> None:
    issued = await ready_access.login()
    who = await ready_access.access.authenticate(issued.token)
    (ready_access.data_dir.parent / "b").mkdir()
    (ready_access.data_dir.parent / "b" / "secrets.json").write_bytes(
        (ready_access.data_dir / "secrets.json").read_bytes()
    )
    async with open_access("b") as other:
        assert (await other.access.authenticate(issued.token)).username == "ada"
        await other.access.logout(who)
        assert await until_true(lambda: ready_access.ended == [who.session_id]) < SOON_S
        assert await expect_refused(ready_access, issued.token)


async def bob_of(ready_access: AccessUnderTest, role: Role) -> tuple[str, Principal]:
    await ready_access.access.register(
        Register(username="bob", password=PASSWORD, role=role), await ready_access.principal()
    )
    token = (await ready_access.login("bob")).token
    return token, await ready_access.access.authenticate(token)


async def bob_in_red_too(ready_access: AccessUnderTest) -> tuple[Principal, Principal]:
    """The administrator, and bob, who is a viewer of the default tenant and of red."""
    ada = await ready_access.principal()
    await ready_access.tenants.create(ada, TenantCreate(id="red"))
    bob = (await bob_of(ready_access, Role.VIEWER))[1]
    await ready_access.people.set_role(ada, "red", bob.user_id, Role.VIEWER)
    return ada, bob


async def test_role_change_ends_tokens_and_a_refresh_gets_the_new_role(ready_access: AccessUnderTest) -> None:
    ada = await ready_access.principal()
    await bob_of(ready_access, Role.OPERATOR)
    issued = await ready_access.login("bob")
    bob = await ready_access.access.authenticate(issued.token)
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.VIEWER)
    assert bob.session_id in ready_access.ended
    assert await expect_refused(ready_access, issued.token)
    renewed = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert (await ready_access.access.authenticate(renewed.token)).role is Role.VIEWER


async def test_role_with_more_rights_needs_a_new_sign_in(ready_access: AccessUnderTest) -> None:
    ada = await ready_access.principal()
    await bob_of(ready_access, Role.VIEWER)
    issued = await ready_access.login("bob")
    bob = await ready_access.access.authenticate(issued.token)
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.OPERATOR)
    assert bob.session_id in ready_access.ended
    assert await expect_refused(ready_access, issued.token)
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    again = await ready_access.login("bob")
    assert (await ready_access.access.authenticate(again.token)).role is Role.OPERATOR
    await ready_access.people.change(ada, bob.user_id, PersonChange(administrator=True))
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=again.refresh_token))


@pytest.mark.parametrize("back", ["switch", "removal"])
async def test_session_that_was_elsewhere_when_a_role_gained_rights_cannot_use_them(
    ready_access: AccessUnderTest, back: str
) -> None:
    ada, bob = await bob_in_red_too(ready_access)
    issued = await ready_access.login("bob")
    old = await ready_access.access.authenticate(issued.token)
    in_red = await ready_access.access.switch_tenant(old, "red")
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.OPERATOR)
    old = await ready_access.access.authenticate(in_red.token)
    assert (old.tenant, old.role) == ("red", Role.VIEWER), "a change in one tenant ends nothing in another"
    if back == "switch":
        with pytest.raises(Forbidden, match="more rights than when you signed in"):
            await ready_access.access.switch_tenant(old, "default")
        assert (await ready_access.access.authenticate(in_red.token)).tenant == "red"
    else:
        await ready_access.people.remove_member(ada, "red", bob.user_id)
        assert await expect_refused(ready_access, in_red.token)
        with pytest.raises(Unauthenticated):
            await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert (await ready_access.principal("bob")).role is Role.OPERATOR


async def test_removed_and_added_again_with_more_rights_a_session_of_before_does_not_get_them(
    ready_access: AccessUnderTest,
) -> None:
    ada, bob = await bob_in_red_too(ready_access)
    issued = await ready_access.login("bob")
    await ready_access.people.remove_member(ada, "default", bob.user_id)
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.OWNER)
    moved = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    old = await ready_access.access.authenticate(moved.token)
    assert old.tenant == "red"
    with pytest.raises(Forbidden, match="Sign in again"):
        await ready_access.access.switch_tenant(old, "default")


async def test_role_that_comes_back_revives_no_token(ready_access: AccessUnderTest) -> None:
    ada = await ready_access.principal()
    token, bob = await bob_of(ready_access, Role.OPERATOR)
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.VIEWER)
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.OPERATOR)
    assert await expect_refused(ready_access, token)
    again = await ready_access.login("bob")
    await ready_access.tenants.create(ada, TenantCreate(id="blue"))
    await ready_access.people.set_role(ada, "blue", bob.user_id, Role.VIEWER)
    await ready_access.people.remove_member(ada, "default", bob.user_id)
    await ready_access.people.set_role(ada, "default", bob.user_id, Role.OPERATOR)
    assert await expect_refused(ready_access, again.token)


async def test_password_change_during_a_login_refuses_the_login(ready_access: AccessUnderTest, owner_url: str) -> None:
    real = ready_access.passwords.compare

    async def compare(password: str, stored: str | None, *, known: bool = False) -> object:
        verdict = await real(password, stored)
        await execute(owner_url, "UPDATE users SET password_hash = 'x'")
        return verdict

    ready_access.passwords.compare = compare  # type: ignore[method-assign, assignment]
    with pytest.raises(Unauthenticated):
        await ready_access.login()


async def test_disabled_account_is_refused_within_two_seconds(ready_access: AccessUnderTest, owner_url: str) -> None:
    token, bob = await bob_of(ready_access, Role.OPERATOR)
    await execute(owner_url, "UPDATE users SET disabled = true WHERE username = 'bob'")
    assert await until_true(lambda: bob.session_id in ready_access.ended) < SOON_S
    assert await expect_refused(ready_access, token)


async def test_session_ends_within_two_seconds_without_the_watch_task(
    ready_access: AccessUnderTest, open_access: OpenAccess, owner_url: str
) -> None:
    async with open_access(start=False) as other:
        issued = await other.login()
        who = await other.access.authenticate(issued.token)
        await execute(owner_url, "UPDATE sessions SET revoked_at = now()")
        held, _ = other.access._live._cached[who.session_id]
        other.access._live._cached[who.session_id] = (held, time.monotonic() - 2.1)
        assert await expect_refused(other, issued.token)
        assert other.ended == [who.session_id]
