"""Group commit: many writers share a transaction, and nobody pays for another's refusal or a database that hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text

from novacron_core import errors
from novacron_core.api.operations import Target
from novacron_server.database import faults
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.group_commit import GroupCommit, Unit
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import last_seq, read_after
from tests.support.fair_clock import fair_now


def draft(name: str) -> EventDraft:
    return EventDraft("vm.updated", "test", Target(type="vm", id="1", name=name))


def unit(name: str) -> Unit[str]:
    async def work(_: Connection) -> tuple[str, list[EventDraft]]:
        return name, [draft(name)]

    return work


async def refused(_: Connection) -> tuple[None, list[EventDraft]]:
    raise errors.Conflict("no")


async def broken(_: Connection) -> tuple[None, list[EventDraft]]:
    raise ZeroDivisionError


async def _told(database: Database) -> list[str]:
    return [record.target.name for record in await database.run(lambda c: read_after(c, 0))]


async def test_who_comes_together_is_committed_together_in_order(database: Database) -> None:
    rings: list[int] = []
    group_commit = GroupCommit(database, lambda: rings.append(1))
    names = [f"n{n:03}" for n in range(120)]
    assert await asyncio.gather(*(group_commit.write(unit(name)) for name in names)) == names
    assert await _told(database) == names
    assert len(rings) <= 4


async def test_one_that_is_refused_takes_nobody_with_it(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)
    units: list[Unit[Any]] = [unit("a"), refused, unit("b"), broken, unit("c")]
    answers = await asyncio.gather(*(group_commit.write(work) for work in units), return_exceptions=True)
    assert answers[::2] == ["a", "b", "c"]
    assert isinstance(answers[1], errors.Conflict)
    assert isinstance(answers[3], ZeroDivisionError)
    assert await _told(database) == ["a", "b", "c"]


async def test_what_a_refused_unit_had_written_is_not_there(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)

    async def writes_first(connection: Connection) -> tuple[None, list[EventDraft]]:
        await connection.execute(text("INSERT INTO settings VALUES ('half', '1')"))
        raise errors.Conflict("no")

    await asyncio.gather(*(group_commit.write(w) for w in (unit("a"), writes_first)), return_exceptions=True)
    rows = await database.run(lambda c: c.execute(text("SELECT key FROM settings WHERE key = 'half'")))
    assert rows.all() == []
    assert await _told(database) == ["a"]


async def test_who_stands_behind_a_hung_transaction_hears_in_time(database: Database) -> None:
    """The one that hangs, those in its transaction and those behind it: all within the budget, nothing written."""
    group_commit = GroupCommit(database, lambda: None)

    async def hangs(connection: Connection) -> tuple[None, list[EventDraft]]:
        await connection.execute(text("SELECT pg_sleep(60)"))
        return None, []

    async def timed(work: Unit[Any]) -> tuple[float, BaseException]:
        began = fair_now()
        with pytest.raises(errors.DatabaseUnavailable) as caught:
            await group_commit.write(work)
        return fair_now() - began, caught.value

    first = asyncio.create_task(timed(hangs))
    await asyncio.sleep(0)
    answers = await asyncio.gather(first, *(timed(unit(f"n{n}")) for n in range(60)))
    assert max(seconds for seconds, _ in answers) < 2.5
    assert not any(isinstance(error, faults.OutcomeUnknown) for _, error in answers[2:])
    assert await database.run(last_seq) == 0
    assert await group_commit.write(unit("after")) == "after"


async def test_one_who_goes_away_while_he_waits_is_not_written(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)
    go = asyncio.Event()

    async def holds(_: Connection) -> tuple[None, list[EventDraft]]:
        await go.wait()
        return None, []

    held = asyncio.create_task(group_commit.write(holds))
    await asyncio.sleep(0.01)
    gone = asyncio.create_task(group_commit.write(unit("gone")))
    await asyncio.sleep(0.01)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    go.set()
    await held
    assert await group_commit.write(unit("next")) == "next"
    assert await _told(database) == ["next"]
