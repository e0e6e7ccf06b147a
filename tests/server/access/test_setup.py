"""The first account, and all later ones: who may make them, and what they may be called."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from novacron_core.api.access import Register
from novacron_core.errors import Conflict, Forbidden, ValidationFailed
from novacron_core.values.roles import Role
from novacron_server.access.setup_token import SetupToken
from novacron_server.database.transactions import Database
from novacron_server.outbox.repository import read_after
from tests.support.access import PASSWORD, AccessUnderTest, OpenAccess


def request(username: str = "bob", **more: object) -> Register:
    return Register(**({"username": username, "password": PASSWORD} | more))  # type: ignore[arg-type]


async def test_the_first_account_is_the_administrator_and_uses_the_token_up(
    door: AccessUnderTest, database: Database
) -> None:
    file = door.data_dir / "setup-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await door.access.setup_required()
    user = await door.first()
    assert (user.username, user.role, user.tenant) == ("ada", Role.ADMINISTRATOR, "default")
    assert not file.exists()
    assert not await door.access.setup_required()
    (told,) = await database.run(lambda conn: read_after(conn, 0))
    assert (told.type, told.target.name, told.tenant) == ("access.user_created", "ada", "default")
    assert len(door.rings) == 1


@pytest.mark.parametrize("token", [None, "", "x", "0" * 43, "é"])
async def test_without_the_token_there_is_no_first_account(door: AccessUnderTest, token: str | None) -> None:
    with pytest.raises(Forbidden, match="setup token"):
        await door.access.register(request(setup_token=token), None)
    assert await door.access.setup_required()


async def test_a_refused_first_account_leaves_the_token_good(door: AccessUnderTest) -> None:
    token = door.setup_token
    with pytest.raises(ValidationFailed):
        await door.access.register(request(setup_token=token, password="short"), None)
    await door.access.register(request(setup_token=token), None)


async def test_two_racers_with_one_token_make_one_administrator(door: AccessUnderTest) -> None:
    token = door.setup_token
    racers = [door.access.register(request(f"racer{n}", setup_token=token), None) for n in range(6)]
    results = await asyncio.gather(*racers, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 5
    assert all(isinstance(result, Forbidden) and "already has an administrator" in result.detail for result in refused)


async def test_two_servers_that_race_make_one_administrator(open_door: OpenAccess) -> None:
    async with open_door("a") as a, open_door("b") as b:
        racers = [d.access.register(request(n, setup_token=d.setup_token), None) for d, n in ((a, "a"), (b, "b"))]
        results = await asyncio.gather(*racers, return_exceptions=True)
        assert sum(isinstance(result, Forbidden) for result in results) == 1
        async with asyncio.timeout(5):
            while (a.data_dir / "setup-token").exists() or (b.data_dir / "setup-token").exists():
                await asyncio.sleep(0.05)


async def test_a_used_token_is_refused_clearly(door: AccessUnderTest) -> None:
    token = door.setup_token
    await door.first()
    with pytest.raises(Forbidden, match="already has an administrator"):
        await door.access.register(request(setup_token=token), None)


async def test_each_start_makes_a_new_token_and_none_once_there_is_an_account(open_door: OpenAccess) -> None:
    async with open_door() as door:
        old = door.setup_token
    async with open_door() as door:
        assert door.setup_token != old
        with pytest.raises(Forbidden):
            await door.access.register(request(setup_token=old), None)
        await door.first()
    async with open_door() as door:
        assert not (door.data_dir / "setup-token").exists()


async def test_an_old_token_is_no_good_and_is_replaced(tmp_path: Path) -> None:
    token = SetupToken(tmp_path, lifetime_s=-1)
    await token.renew()
    first = (tmp_path / "setup-token").read_text().strip()
    assert not token.matches(first)
    token._lifetime_s = 60
    await token.renew_if_old()
    second = (tmp_path / "setup-token").read_text().strip()
    assert second != first and token.matches(second)
    await token.renew_if_old()
    assert token.matches(second)
    token.end()
    assert not token.matches(second) and not token.matches("")


async def test_administrators_make_accounts_of_any_role_in_their_tenant(house: AccessUnderTest) -> None:
    ada = await house.who()
    user = await house.access.register(request(role=Role.OPERATOR), ada)
    assert (user.role, user.tenant) == (Role.OPERATOR, ada.tenant)
    bob = await house.who("bob")
    assert bob.role is Role.OPERATOR
    with pytest.raises(Forbidden):
        await house.access.register(request("eve"), bob)
    with pytest.raises(Forbidden):
        await house.access.register(request("eve"), None)


async def test_open_registration_gives_viewers_only(open_door: OpenAccess) -> None:
    async with open_door(open_registration=True) as door:
        with pytest.raises(Forbidden, match="setup token"):
            await door.access.register(request(), None)
        await door.first()
        assert (await door.access.register(request("bob"), None)).role is Role.VIEWER
        for role in (Role.OPERATOR, Role.ADMINISTRATOR):
            with pytest.raises(Forbidden):
                await door.access.register(request("eve", role=role), None)


async def test_a_taken_name_is_a_conflict_on_its_field(house: AccessUnderTest) -> None:
    with pytest.raises(Conflict) as refused:
        await house.access.register(request("ada"), await house.who())
    assert refused.value.fields[0].field == "username"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"username": "Ada"}, "username"),
        ({"username": "a\0b"}, "username"),
        ({"password": "fourteen chars"}, "password"),
        ({"password": "novacron-novacron-2026"}, "password"),
        ({"email": "nobody"}, "email"),
        ({"email": "a\0b@c"}, "email"),
        ({"email": "a@b\n"}, "email"),
    ],
)
async def test_what_is_not_valid_names_its_field(house: AccessUnderTest, wrong: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await house.access.register(request(**wrong), await house.who())
    assert [error.field for error in refused.value.fields] == [field]
