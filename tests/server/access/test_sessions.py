"""Sessions: begun, renewed, ended, and the end of each known everywhere within two seconds."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from novacron_core.api.access import Refresh, Register
from novacron_core.errors import DatabaseUnavailable, RateLimited, Unauthenticated
from novacron_core.values.roles import Role
from novacron_server.access import repository, tickets
from novacron_server.database.transactions import Database
from tests.support.access import PASSWORD, AccessUnderTest, events, refused, statement, until_true, warm

SOON_S = 2.5


async def test_a_login_tells_who_and_leaves_no_secret(
    house: AccessUnderTest, database: Database, owner_url: str
) -> None:
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


async def test_every_wrong_sign_in_has_one_answer_and_one_price(house: AccessUnderTest, owner_url: str) -> None:
    await house.access.register(Register(username="gone", password=PASSWORD), await house.who())
    await statement(owner_url, "UPDATE users SET disabled = true WHERE username = 'gone'")
    answers = []
    for username, password in (("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("a\0b", "x"), ("", "")):
        before = house.passwords.comparisons
        with pytest.raises(Unauthenticated) as answer:
            await house.login(username, password)
        answers.append((answer.value.detail, answer.value.fields, house.passwords.comparisons - before))
    assert len(set(answers)) == 1 and answers[0][2] == 1


async def test_a_refresh_token_buys_one_pair(house: AccessUnderTest) -> None:
    first = await house.login()
    second = await house.access.refresh(Refresh(refresh_token=first.refresh_token))
    assert second.refresh_token != first.refresh_token
    who = await house.access.authenticate(second.token)
    assert who.session_id == (await house.access.authenticate(first.token)).session_id
    for unknown in ("", "x", second.token):
        with pytest.raises(Unauthenticated):
            await house.access.refresh(Refresh(refresh_token=unknown))
    assert (await house.access.authenticate(second.token)).session_id == who.session_id


async def test_a_reused_refresh_token_ends_the_family(house: AccessUnderTest, database: Database) -> None:
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


async def test_of_many_who_refresh_at_once_one_gets_tokens_and_the_session_ends(
    house: AccessUnderTest, database: Database
) -> None:
    issued = await house.login()
    await warm(database)
    crowd = [house.access.refresh(Refresh(refresh_token=issued.refresh_token)) for _ in range(8)]
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert sum(isinstance(result, Unauthenticated) for result in results) == 7
    assert await refused(house, issued.token)


async def test_a_session_lasts_a_day_at_most(house: AccessUnderTest, owner_url: str) -> None:
    issued = await house.login()
    await statement(owner_url, "UPDATE sessions SET expires_at = now() + interval '100 seconds'")
    renewed = await house.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert 90 <= renewed.expires_in <= 100
    who = await house.access.authenticate(renewed.token)
    assert who.expires_at - datetime.now(UTC) <= timedelta(seconds=100)
    await statement(owner_url, "UPDATE sessions SET expires_at = now() - interval '1 second'")
    with pytest.raises(Unauthenticated):
        await house.access.refresh(Refresh(refresh_token=renewed.refresh_token))
    assert await until_true(lambda: house.ended == [who.session_id]) < SOON_S
    assert await refused(house, renewed.token)


async def test_while_the_database_is_away_the_known_go_on_and_the_unknown_wait(
    house: AccessUnderTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = await house.login(), await house.login()
    who = await house.access.authenticate(known.token)
    real = database.run

    async def away(*_: object, **__: object) -> object:
        raise DatabaseUnavailable("away", retry_after_s=2.0)

    monkeypatch.setattr(database, "run", away)
    await until_true(lambda: house.access._live._database_down)
    house.access._live._cached[who.session_id] = (house.access._live._cached[who.session_id][0], time.monotonic() - 60)
    assert await house.access.authenticate(known.token) == who
    with pytest.raises(DatabaseUnavailable):
        await house.access.authenticate(unknown.token)
    with pytest.raises(DatabaseUnavailable):
        await house.login()
    assert await house.access.setup_required() in (True, False)
    monkeypatch.setattr(database, "run", real)
    await until_true(lambda: not house.access._live._database_down)
    assert await house.access.authenticate(unknown.token)


async def test_a_known_session_costs_no_query(
    house: AccessUnderTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_a_ticket_opens_one_socket_for_half_a_minute(
    house: AccessUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
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


async def test_housekeeping_forgets_what_ended_long_ago(
    house: AccessUnderTest, database: Database, owner_url: str
) -> None:
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
