"""Sessions: begun, renewed, ended, and the end of each known everywhere within two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from novacron_core.api.access import Refresh, Register
from novacron_core.errors import Conflict, DatabaseUnavailable, Forbidden, NotFound, RateLimited, Unauthenticated
from novacron_core.rules.permissions import Role
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository, tickets
from novacron_server.database.engine import Database
from novacron_server.events.outbox import Record, read_after

from .conftest import PASSWORD, Door, Open

SOON_S = 2.5


async def refused(door: Door, token: str) -> bool:
    with pytest.raises(Unauthenticated):
        await door.access.authenticate(token)
    return True


async def until(what: Callable[[], bool], timeout_s: float = 10.0) -> float:
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not what():
            await asyncio.sleep(0.02)
    return time.monotonic() - began


async def events(database: Database) -> list[Record]:
    return await database.run(lambda conn: read_after(conn, 0))


async def statement(url: str, sql: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(sql)


async def test_a_login_tells_who_and_leaves_no_secret(house: Door, database: Database, owner_url: str) -> None:
    issued = await house.login()
    who = await house.access.authenticate(issued.token)
    assert (who.username, who.role, who.tenant) == ("ada", Role.ADMINISTRATOR, "default")
    assert 14 * 60 < issued.expires_in <= 15 * 60
    assert timedelta(minutes=14) < who.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    validation = await house.access.validate(who)
    assert validation.valid and validation.user == issued.user and validation.expires_at == who.expires_at
    told = (await events(database))[-1]
    assert (told.type, told.target.id, told.tenant, told.source) == (
        "access.signed_in",
        who.user_id,
        "default",
        "access",
    )
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        for table in ("users", "sessions", "refresh_tokens", "events", "login_failures", "settings"):
            rows = str(await (await conn.execute(f"SELECT * FROM {table}")).fetchall())
            for secret in (PASSWORD, issued.token, issued.refresh_token):
                assert secret not in rows


async def test_every_wrong_sign_in_has_one_answer_and_one_price(house: Door, owner_url: str) -> None:
    await house.access.register(Register(username="gone", password=PASSWORD), await house.who())
    await statement(owner_url, "UPDATE users SET disabled = true WHERE username = 'gone'")
    answers = []
    for username, password in (("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("a\0b", "x"), ("", "")):
        before = house.passwords.comparisons
        with pytest.raises(Unauthenticated) as answer:
            await house.login(username, password)
        answers.append((answer.value.detail, answer.value.fields, house.passwords.comparisons - before))
    assert len(set(answers)) == 1 and answers[0][2] == 1


async def test_a_refresh_token_buys_one_pair(house: Door) -> None:
    first = await house.login()
    second = await house.access.refresh(Refresh(refresh_token=first.refresh_token))
    assert second.refresh_token != first.refresh_token
    who = await house.access.authenticate(second.token)
    assert who.session_id == (await house.access.authenticate(first.token)).session_id
    for unknown in ("", "x", second.token):
        with pytest.raises(Unauthenticated):
            await house.access.refresh(Refresh(refresh_token=unknown))
    assert (await house.access.authenticate(second.token)).session_id == who.session_id


async def test_a_reused_refresh_token_ends_the_family(house: Door, database: Database) -> None:
    first = await house.login()
    second = await house.access.refresh(Refresh(refresh_token=first.refresh_token))
    who = await house.access.authenticate(second.token)
    other = await house.login()
    for token in (first.refresh_token, second.refresh_token):
        with pytest.raises(Unauthenticated):
            await house.access.refresh(Refresh(refresh_token=token))
    assert await refused(house, second.token) and await refused(house, first.token)
    assert house.ended == [who.session_id]
    assert "twice" in (await events(database))[-1].note
    assert await house.access.authenticate(other.token)


async def warm(database: Database) -> None:
    """Open connections ahead, so that what starts together runs together."""
    await asyncio.gather(*(database.run(lambda conn: conn.exec_driver_sql("SELECT pg_sleep(0.1)")) for _ in range(8)))


async def test_of_many_who_refresh_at_once_one_gets_tokens_and_the_session_ends(
    house: Door, database: Database
) -> None:
    issued = await house.login()
    await warm(database)
    crowd = [house.access.refresh(Refresh(refresh_token=issued.refresh_token)) for _ in range(8)]
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert sum(isinstance(result, Unauthenticated) for result in results) == 7
    assert await refused(house, issued.token)


async def test_logout_ends_everything_of_the_session_and_nothing_else(house: Door, database: Database) -> None:
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


async def test_a_session_lasts_a_day_at_most(house: Door, owner_url: str) -> None:
    issued = await house.login()
    await statement(owner_url, "UPDATE sessions SET expires_at = now() + interval '100 seconds'")
    renewed = await house.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert 90 <= renewed.expires_in <= 100
    who = await house.access.authenticate(renewed.token)
    assert who.expires_at - datetime.now(UTC) <= timedelta(seconds=100)
    await statement(owner_url, "UPDATE sessions SET expires_at = now() - interval '1 second'")
    with pytest.raises(Unauthenticated):
        await house.access.refresh(Refresh(refresh_token=renewed.refresh_token))
    assert await until(lambda: house.ended == [who.session_id]) < SOON_S
    assert await refused(house, renewed.token)


async def test_a_logout_at_one_server_ends_it_at_the_other(house: Door, open_door: Open) -> None:
    issued = await house.login()
    who = await house.access.authenticate(issued.token)
    (house.data_dir.parent / "b").mkdir()
    (house.data_dir.parent / "b" / "secrets.json").write_bytes((house.data_dir / "secrets.json").read_bytes())
    async with open_door("b") as other:
        assert (await other.access.authenticate(issued.token)).username == "ada"
        await other.access.logout(who)
        assert await until(lambda: house.ended == [who.session_id]) < SOON_S
        assert await refused(house, issued.token)


async def bob_of(house: Door, role: Role) -> tuple[str, Principal]:
    await house.access.register(Register(username="bob", password=PASSWORD, role=role), await house.who())
    token = (await house.login("bob")).token
    return token, await house.access.authenticate(token)


async def test_a_new_role_ends_tokens_and_a_refresh_gets_the_new_one(house: Door) -> None:
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


async def test_two_administrators_cannot_demote_each_other(house: Door, database: Database) -> None:
    ada = await house.who()
    _, bob = await bob_of(house, Role.ADMINISTRATOR)
    await warm(database)
    both = [house.access.change_role(x.user_id, Role.VIEWER, y) for x, y in ((ada, bob), (bob, ada))]
    results = await asyncio.gather(*both, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 1


async def test_a_new_password_ends_every_session(house: Door) -> None:
    token, bob = await bob_of(house, Role.VIEWER)
    with pytest.raises(Forbidden):
        await house.access.change_password("wrong", "seven calm rivers bend", bob)
    await house.access.change_password(PASSWORD, "seven calm rivers bend", bob)
    assert await refused(house, token)
    with pytest.raises(Unauthenticated):
        await house.login("bob")
    assert (await house.login("bob", "seven calm rivers bend")).user.username == "bob"


async def test_a_password_changed_during_a_login_does_not_let_it_in(house: Door, owner_url: str) -> None:
    real = house.passwords.compare

    async def compare(password: str, stored: str | None) -> object:
        verdict = await real(password, stored)
        await statement(owner_url, "UPDATE users SET password_hash = 'x'")
        return verdict

    house.passwords.compare = compare  # type: ignore[method-assign, assignment]
    with pytest.raises(Unauthenticated):
        await house.login()


async def test_a_disabled_account_is_out_within_two_seconds(house: Door, owner_url: str) -> None:
    token, bob = await bob_of(house, Role.OPERATOR)
    await statement(owner_url, "UPDATE users SET disabled = true WHERE username = 'bob'")
    assert await until(lambda: bob.session_id in house.ended) < SOON_S
    assert await refused(house, token)


async def test_without_a_watcher_the_two_seconds_still_hold(house: Door, open_door: Open, owner_url: str) -> None:
    async with open_door(start=False) as other:
        issued = await other.login()
        who = await other.access.authenticate(issued.token)
        await statement(owner_url, "UPDATE sessions SET revoked_at = now()")
        held, _ = other.access._live._held[who.session_id]
        other.access._live._held[who.session_id] = (held, time.monotonic() - 2.1)
        assert await refused(other, issued.token)
        assert other.ended == [who.session_id]


async def test_while_the_database_is_away_the_known_go_on_and_the_unknown_wait(
    house: Door, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = await house.login(), await house.login()
    who = await house.access.authenticate(known.token)
    real = database.run

    async def away(*_: object, **__: object) -> object:
        raise DatabaseUnavailable("away", retry_after_s=2.0)

    monkeypatch.setattr(database, "run", away)
    await until(lambda: house.access._live._database_away)
    house.access._live._held[who.session_id] = (house.access._live._held[who.session_id][0], time.monotonic() - 60)
    assert await house.access.authenticate(known.token) == who
    with pytest.raises(DatabaseUnavailable):
        await house.access.authenticate(unknown.token)
    with pytest.raises(DatabaseUnavailable):
        await house.login()
    assert await house.access.setup_required() in (True, False)
    monkeypatch.setattr(database, "run", real)
    await until(lambda: not house.access._live._database_away)
    assert await house.access.authenticate(unknown.token)


async def test_a_known_session_costs_no_query(house: Door, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await house.login()).token
    await house.access.authenticate(token)
    asked = 0
    real = database.run

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        return await real(*args, **kwargs)

    monkeypatch.setattr(database, "run", counted)
    began = time.monotonic()
    for _ in range(500):
        await house.access.authenticate(token)
    assert asked <= (time.monotonic() - began) / 0.9 + 1


async def test_a_ticket_opens_one_socket_for_half_a_minute(house: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    who = await house.who()
    ticket = await house.access.ticket(who)
    assert ticket.expires_in <= 30
    assert await house.access.take_ticket(ticket.ticket) == who
    for text in (ticket.ticket, "", "x"):
        with pytest.raises(Unauthenticated):
            await house.access.take_ticket(text)
    late = await house.access.ticket(who)
    now = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now + 31)
        with pytest.raises(Unauthenticated):
            await house.access.take_ticket(late.ticket)
    for _ in range(tickets.MAX_PER_SESSION):
        await house.access.ticket(who)
    with pytest.raises(RateLimited):
        await house.access.ticket(who)


async def test_housekeeping_forgets_what_ended_long_ago(house: Door, database: Database, owner_url: str) -> None:
    await house.login()
    await house.login()
    await statement(
        owner_url,
        "UPDATE sessions SET expires_at = now() - interval '8 days'"
        " WHERE id = (SELECT id FROM sessions ORDER BY created_at LIMIT 1);"
        "INSERT INTO login_failures VALUES ('x', 'y', 9, now() - interval '2 days'), ('x', 'z', 9, now())",
    )
    await database.run(lambda conn: repository.prune(conn, datetime.now(UTC) - timedelta(days=7)))
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        counts = [
            await (await conn.execute(f"SELECT count(*) FROM {table}")).fetchone()
            for table in ("sessions", "refresh_tokens", "login_failures")
        ]
    assert counts == [(1,), (1,), (1,)]
