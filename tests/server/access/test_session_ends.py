"""What ends sessions besides their time, and that each end is known everywhere within two seconds."""

from __future__ import annotations

import asyncio
import time

import pytest

from novacron_core.api.access import Refresh, Register
from novacron_core.errors import Conflict, Forbidden, NotFound, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from tests.support.access import PASSWORD, AccessUnderTest, OpenAccess, events, refused, statement, until_true, warm

SOON_S = 2.5


async def test_logout_ends_everything_of_the_session_and_nothing_else(
    house: AccessUnderTest, database: Database
) -> None:
    issued, other = await house.login(), await house.login()
    who = await house.access.authenticate(issued.token)
    ticket = await house.access.ticket(who)
    await house.access.logout(who)
    assert await refused(house, issued.token)
    with pytest.raises(Unauthenticated):
        await house.access.refresh(Refresh(refresh_token=issued.refresh_token))
    with pytest.raises(Unauthenticated):
        await house.access.take_ticket(ticket.ticket)
    assert house.ended == [who.session_id]
    assert await house.access.authenticate(other.token)
    assert (await events(database))[-1].type == "access.signed_out"
    await house.access.logout(who)
    assert sum(event.type == "access.signed_out" for event in await events(database)) == 1


async def test_a_logout_at_one_server_ends_it_at_the_other(house: AccessUnderTest, open_door: OpenAccess) -> None:
    issued = await house.login()
    who = await house.access.authenticate(issued.token)
    (house.data_dir.parent / "b").mkdir()
    (house.data_dir.parent / "b" / "secrets.json").write_bytes((house.data_dir / "secrets.json").read_bytes())
    async with open_door("b") as other:
        assert (await other.access.authenticate(issued.token)).username == "ada"
        await other.access.logout(who)
        assert await until_true(lambda: house.ended == [who.session_id]) < SOON_S
        assert await refused(house, issued.token)


async def bob_of(house: AccessUnderTest, role: Role) -> tuple[str, Principal]:
    await house.access.register(Register(username="bob", password=PASSWORD, role=role), await house.who())
    token = (await house.login("bob")).token
    return token, await house.access.authenticate(token)


async def test_a_new_role_ends_tokens_and_a_refresh_gets_the_new_one(house: AccessUnderTest) -> None:
    ada = await house.who()
    await bob_of(house, Role.OPERATOR)
    issued = await house.login("bob")
    bob = await house.access.authenticate(issued.token)
    await house.access.change_role(bob.user_id, Role.VIEWER, ada)
    assert bob.session_id in house.ended
    assert await refused(house, issued.token)
    renewed = await house.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert (await house.access.authenticate(renewed.token)).role is Role.VIEWER
    with pytest.raises(Forbidden):
        await house.access.change_role(ada.user_id, Role.VIEWER, bob)
    with pytest.raises(Conflict, match="last administrator"):
        await house.access.change_role(ada.user_id, Role.VIEWER, ada)
    with pytest.raises(NotFound):
        await house.access.change_role("no-id", Role.VIEWER, ada)


async def test_two_administrators_cannot_demote_each_other(house: AccessUnderTest, database: Database) -> None:
    ada = await house.who()
    _, bob = await bob_of(house, Role.ADMINISTRATOR)
    await warm(database)
    both = [house.access.change_role(x.user_id, Role.VIEWER, y) for x, y in ((ada, bob), (bob, ada))]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 1


async def test_a_new_password_ends_every_session(house: AccessUnderTest) -> None:
    token, bob = await bob_of(house, Role.VIEWER)
    with pytest.raises(Forbidden):
        await house.access.change_password("wrong", "seven calm rivers bend", bob)
    await house.access.change_password(PASSWORD, "seven calm rivers bend", bob)
    assert await refused(house, token)
    with pytest.raises(Unauthenticated):
        await house.login("bob")
    assert (await house.login("bob", "seven calm rivers bend")).user.username == "bob"


async def test_a_password_changed_during_a_login_does_not_let_it_in(house: AccessUnderTest, owner_url: str) -> None:
    real = house.passwords.compare

    async def compare(password: str, stored: str | None) -> object:
        verdict = await real(password, stored)
        await statement(owner_url, "UPDATE users SET password_hash = 'x'")
        return verdict

    house.passwords.compare = compare  # type: ignore[method-assign, assignment]
    with pytest.raises(Unauthenticated):
        await house.login()


async def test_a_disabled_account_is_out_within_two_seconds(house: AccessUnderTest, owner_url: str) -> None:
    token, bob = await bob_of(house, Role.OPERATOR)
    await statement(owner_url, "UPDATE users SET disabled = true WHERE username = 'bob'")
    assert await until_true(lambda: bob.session_id in house.ended) < SOON_S
    assert await refused(house, token)


async def test_without_a_watcher_the_two_seconds_still_hold(
    house: AccessUnderTest, open_door: OpenAccess, owner_url: str
) -> None:
    async with open_door(start=False) as other:
        issued = await other.login()
        who = await other.access.authenticate(issued.token)
        await statement(owner_url, "UPDATE sessions SET revoked_at = now()")
        held, _ = other.access._live._cached[who.session_id]
        other.access._live._cached[who.session_id] = (held, time.monotonic() - 2.1)
        assert await refused(other, issued.token)
        assert other.ended == [who.session_id]
