"""Sessions: sign-in, refresh, expiry, cache and tickets."""

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
from tests.support.access import (
    PASSWORD,
    AccessUnderTest,
    events,
    execute,
    expect_refused,
    open_connections,
    until_true,
)

SOON_S = 2.5


async def test_login_is_recorded_without_secrets(
    ready_access: AccessUnderTest, database: Database, owner_url: str
) -> None:
    issued = await ready_access.login()
    who = await ready_access.access.authenticate(issued.token)
    assert (who.username, who.role, who.tenant) == ("ada", Role.ADMINISTRATOR, "default")
    assert 14 * 60 < issued.expires_in <= 15 * 60
    assert timedelta(minutes=14) < who.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
    validation = await ready_access.access.validate(who)
    assert validation.valid and validation.user == issued.user and validation.expires_at == who.expires_at
    event = (await events(database))[-1]
    assert (event.type, event.target.id, event.tenant, event.source) == (
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


async def test_every_failed_sign_in_has_the_same_message_and_cost(
    ready_access: AccessUnderTest, owner_url: str
) -> None:
    await ready_access.access.register(Register(username="gone", password=PASSWORD), await ready_access.principal())
    await execute(owner_url, "UPDATE users SET disabled = true WHERE username = 'gone'")
    answers = []
    for username, password in (("ada", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD), ("a\0b", "x"), ("", "")):
        before = ready_access.passwords.comparisons
        with pytest.raises(Unauthenticated) as answer:
            await ready_access.login(username, password)
        answers.append((answer.value.detail, answer.value.fields, ready_access.passwords.comparisons - before))
    assert len(set(answers)) == 1 and answers[0][2] == 1


async def test_refresh_token_can_be_used_once(ready_access: AccessUnderTest) -> None:
    first = await ready_access.login()
    second = await ready_access.access.refresh(Refresh(refresh_token=first.refresh_token))
    assert second.refresh_token != first.refresh_token
    who = await ready_access.access.authenticate(second.token)
    assert who.session_id == (await ready_access.access.authenticate(first.token)).session_id
    for unknown in ("", "x", second.token):
        with pytest.raises(Unauthenticated):
            await ready_access.access.refresh(Refresh(refresh_token=unknown))
    assert (await ready_access.access.authenticate(second.token)).session_id == who.session_id


USED_LONG_AGO = "UPDATE refresh_tokens SET used_at = used_at - interval '21 seconds'"


async def test_reused_refresh_token_ends_the_session(
    ready_access: AccessUnderTest, database: Database, owner_url: str
) -> None:
    first = await ready_access.login()
    second = await ready_access.access.refresh(Refresh(refresh_token=first.refresh_token))
    who = await ready_access.access.authenticate(second.token)
    other = await ready_access.login()
    await execute(owner_url, USED_LONG_AGO)
    for token in (first.refresh_token, second.refresh_token):
        with pytest.raises(Unauthenticated):
            await ready_access.access.refresh(Refresh(refresh_token=token))
    assert await expect_refused(ready_access, second.token) and await expect_refused(ready_access, first.token)
    assert ready_access.ended == [who.session_id]
    ended, warned = (await events(database))[-2:]
    assert (ended.type, warned.type, warned.tenant) == ("access.signed_out", "access.warning", None)
    assert "twice" in ended.note
    assert warned.note == "a refresh token of ada was used twice"
    assert await ready_access.access.authenticate(other.token)


async def test_each_change_of_an_account_says_who_has_made_it(
    ready_access: AccessUnderTest, database: Database, owner_url: str
) -> None:
    access, ada = ready_access.access, await ready_access.principal()
    await access.register(Register(username="bob", password=PASSWORD), ada)
    issued = await ready_access.login("bob")
    await access.refresh(Refresh(refresh_token=issued.refresh_token))
    await execute(owner_url, USED_LONG_AGO)
    with pytest.raises(Unauthenticated):
        await access.refresh(Refresh(refresh_token=issued.refresh_token))
    who = await access.authenticate((await ready_access.login("bob")).token)
    await access.logout(who)
    own = [(event.type, event.actor) for event in await events(database) if event.target.name == "bob"]
    assert own == [
        ("access.user_created", "ada"),
        ("access.signed_in", "bob"),
        ("access.signed_out", ""),
        ("access.warning", ""),
        ("access.signed_in", "bob"),
        ("access.signed_out", "bob"),
    ], "the server itself ends a session whose token was used twice"


async def test_repeated_refresh_gets_the_same_successor(
    ready_access: AccessUnderTest, database: Database, owner_url: str
) -> None:
    issued = await ready_access.login()
    await open_connections(database)
    crowd = [ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token)) for _ in range(50)]
    results = await asyncio.gather(*crowd)
    assert len({result.refresh_token for result in results}) == 1
    assert await ready_access.access.authenticate(results[-1].token) and ready_access.ended == []
    ready_access.access._keys.rotate()
    again = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert again.refresh_token == results[0].refresh_token
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        assert await (await conn.execute("SELECT count(*) FROM refresh_tokens")).fetchone() == (2,)
    await execute(owner_url, USED_LONG_AGO)
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert await expect_refused(ready_access, again.token)


async def test_session_lasts_a_day_at_most(ready_access: AccessUnderTest, owner_url: str) -> None:
    issued = await ready_access.login()
    await execute(owner_url, "UPDATE sessions SET expires_at = now() + interval '100 seconds'")
    renewed = await ready_access.access.refresh(Refresh(refresh_token=issued.refresh_token))
    assert 90 <= renewed.expires_in <= 100
    who = await ready_access.access.authenticate(renewed.token)
    assert who.expires_at - datetime.now(UTC) <= timedelta(seconds=100)
    await execute(owner_url, "UPDATE sessions SET expires_at = now() - interval '1 second'")
    with pytest.raises(Unauthenticated):
        await ready_access.access.refresh(Refresh(refresh_token=renewed.refresh_token))
    assert await until_true(lambda: ready_access.ended == [who.session_id]) < SOON_S
    assert await expect_refused(ready_access, renewed.token)


async def test_during_an_outage_cached_sessions_stay_valid_and_others_are_refused(
    ready_access: AccessUnderTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = await ready_access.login(), await ready_access.login()
    who = await ready_access.access.authenticate(known.token)
    real = database.run

    async def unavailable(*_: object, **__: object) -> object:
        raise DatabaseUnavailable("away", retry_after_s=2.0)

    monkeypatch.setattr(database, "run", unavailable)
    await until_true(lambda: ready_access.access._live._database_down)
    ready_access.access._live._cached[who.session_id] = (
        ready_access.access._live._cached[who.session_id][0],
        time.monotonic() - 60,
    )
    assert await ready_access.access.authenticate(known.token) == who
    with pytest.raises(DatabaseUnavailable):
        await ready_access.access.authenticate(unknown.token)
    with pytest.raises(DatabaseUnavailable):
        await ready_access.login()
    assert await ready_access.access.setup_required() in (True, False)
    monkeypatch.setattr(database, "run", real)
    await until_true(lambda: not ready_access.access._live._database_down)
    assert await ready_access.access.authenticate(unknown.token)


async def test_cached_session_costs_no_query(
    ready_access: AccessUnderTest, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await ready_access.login()).token
    await ready_access.access.authenticate(token)
    queries = 0
    real = database.run

    async def count(*args: Any, **kwargs: Any) -> Any:
        nonlocal queries
        queries += 1
        return await real(*args, **kwargs)

    monkeypatch.setattr(database, "run", count)
    began = time.monotonic()
    for _ in range(500):
        await ready_access.access.authenticate(token)
    assert queries <= (time.monotonic() - began) / 0.9 + 1


async def test_ticket_is_valid_once_for_half_a_minute(
    ready_access: AccessUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = await ready_access.principal()
    ticket = await ready_access.access.ticket(who)
    assert ticket.expires_in <= 30
    assert await ready_access.access.redeem_ticket(ticket.ticket) == who
    for text in (ticket.ticket, "", "x"):
        with pytest.raises(Unauthenticated):
            await ready_access.access.redeem_ticket(text)
    late = await ready_access.access.ticket(who)
    now = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now + 31)
        with pytest.raises(Unauthenticated):
            await ready_access.access.redeem_ticket(late.ticket)
    for _ in range(tickets.MAX_PER_SESSION):
        await ready_access.access.ticket(who)
    with pytest.raises(RateLimited):
        await ready_access.access.ticket(who)


async def test_pruning_deletes_sessions_that_ended_long_ago(
    ready_access: AccessUnderTest, database: Database, owner_url: str
) -> None:
    await ready_access.login()
    await ready_access.login()
    await execute(
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


async def test_sign_in_above_the_number_ends_the_session_used_longest_ago(
    ready_access: AccessUnderTest, owner_url: str
) -> None:
    ready_access.access._sessions_per_user = 3
    first, second, third = [await ready_access.login() for _ in range(3)]
    await ready_access.access.refresh(Refresh(refresh_token=first.refresh_token))
    ended = await ready_access.access.authenticate(second.token)
    fourth = await ready_access.login()
    assert await expect_refused(ready_access, second.token)
    assert ready_access.ended == [ended.session_id]
    for issued in (first, third, fourth):
        assert await ready_access.access.authenticate(issued.token)
