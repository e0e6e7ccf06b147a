"""Creating the first account and later ones: permissions and valid names."""

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


async def test_first_account_is_an_administrator_and_consumes_the_token(
    fresh_access: AccessUnderTest, database: Database
) -> None:
    file = fresh_access.data_dir / "setup-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await fresh_access.access.setup_required()
    user = await fresh_access.register_first()
    assert (user.username, user.role, user.tenant) == ("ada", Role.ADMINISTRATOR, "default")
    assert not file.exists()
    assert not await fresh_access.access.setup_required()
    created, warned = await database.run(lambda conn: read_after(conn, 0))
    assert (created.type, created.target.name, created.tenant) == ("access.user_created", "ada", "default")
    assert (warned.type, warned.priority, warned.tenant) == ("access.warning", "high", None), "for administrators only"
    assert warned.note == "the setup token was used: ada is the first administrator"
    assert len(fresh_access.wakes) == 1


@pytest.mark.parametrize("token", [None, "", "x", "0" * 43, "é"])
async def test_first_account_requires_the_setup_token(fresh_access: AccessUnderTest, token: str | None) -> None:
    with pytest.raises(Forbidden, match="setup token"):
        await fresh_access.access.register(request(setup_token=token), None)
    assert await fresh_access.access.setup_required()


async def test_refused_first_account_keeps_the_token_valid(fresh_access: AccessUnderTest) -> None:
    token = fresh_access.setup_token
    with pytest.raises(ValidationFailed):
        await fresh_access.access.register(request(setup_token=token, password="short"), None)
    await fresh_access.access.register(request(setup_token=token), None)


async def test_concurrent_requests_with_one_token_create_one_administrator(fresh_access: AccessUnderTest) -> None:
    token = fresh_access.setup_token
    racers = [fresh_access.access.register(request(f"racer{n}", setup_token=token), None) for n in range(6)]
    results = await asyncio.gather(*racers, return_exceptions=True)
    expect_refused = [result for result in results if isinstance(result, BaseException)]
    assert len(expect_refused) == 5
    assert all(
        isinstance(result, Forbidden) and "already has an administrator" in result.detail for result in expect_refused
    )


async def test_concurrent_requests_to_two_servers_create_one_administrator(open_access: OpenAccess) -> None:
    async with open_access("a") as a, open_access("b") as b:
        racers = [d.access.register(request(n, setup_token=d.setup_token), None) for d, n in ((a, "a"), (b, "b"))]
        results = await asyncio.gather(*racers, return_exceptions=True)
        assert sum(isinstance(result, Forbidden) for result in results) == 1
        async with asyncio.timeout(5):
            while (a.data_dir / "setup-token").exists() or (b.data_dir / "setup-token").exists():
                await asyncio.sleep(0.05)


async def test_used_token_is_refused_with_the_reason(fresh_access: AccessUnderTest) -> None:
    token = fresh_access.setup_token
    await fresh_access.register_first()
    with pytest.raises(Forbidden, match="already has an administrator"):
        await fresh_access.access.register(request(setup_token=token), None)


async def test_each_start_creates_a_new_token_until_there_is_an_account(open_access: OpenAccess) -> None:
    async with open_access() as fresh_access:
        old = fresh_access.setup_token
    async with open_access() as fresh_access:
        assert fresh_access.setup_token != old
        with pytest.raises(Forbidden):
            await fresh_access.access.register(request(setup_token=old), None)
        await fresh_access.register_first()
    async with open_access() as fresh_access:
        assert not (fresh_access.data_dir / "setup-token").exists()


async def test_expired_token_is_refused_and_replaced(tmp_path: Path) -> None:
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


async def test_administrators_create_accounts_of_any_role_in_their_tenant(ready_access: AccessUnderTest) -> None:
    ada = await ready_access.principal()
    user = await ready_access.access.register(request(role=Role.OPERATOR), ada)
    assert (user.role, user.tenant) == (Role.OPERATOR, ada.tenant)
    bob = await ready_access.principal("bob")
    assert bob.role is Role.OPERATOR
    with pytest.raises(Forbidden):
        await ready_access.access.register(request("eve"), bob)
    with pytest.raises(Forbidden):
        await ready_access.access.register(request("eve"), None)


async def test_open_registration_creates_viewers_only(open_access: OpenAccess) -> None:
    async with open_access(open_registration=True) as fresh_access:
        with pytest.raises(Forbidden, match="setup token"):
            await fresh_access.access.register(request(), None)
        await fresh_access.register_first()
        assert (await fresh_access.access.register(request("bob"), None)).role is Role.VIEWER
        for role in (Role.OPERATOR, Role.ADMINISTRATOR):
            with pytest.raises(Forbidden):
                await fresh_access.access.register(request("eve", role=role), None)


async def test_taken_name_is_a_conflict_on_its_field(ready_access: AccessUnderTest) -> None:
    with pytest.raises(Conflict) as expect_refused:
        await ready_access.access.register(request("ada"), await ready_access.principal())
    assert expect_refused.value.fields[0].field == "username"


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
async def test_invalid_value_names_its_field(ready_access: AccessUnderTest, wrong: dict[str, str], field: str) -> None:
    with pytest.raises(ValidationFailed) as expect_refused:
        await ready_access.access.register(request(**wrong), await ready_access.principal())
    assert [error.field for error in expect_refused.value.fields] == [field]
