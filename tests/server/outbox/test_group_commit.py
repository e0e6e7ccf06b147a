"""Group commit: writers share a transaction, and a refused or hung one does not fail the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text

from novacron_core import errors
from novacron_core.api.operations import Target
from novacron_server.database import faults
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.group_commit import MAX_UNITS, GroupCommit, Unit
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import last_seq, read_after
from novacron_server.places import ACTS_FOR
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


async def _events(database: Database) -> list[str]:
    return [record.target.name for record in await database.run(lambda c: read_after(c, 0))]


async def test_concurrent_units_are_committed_together_in_order(database: Database) -> None:
    rings: list[int] = []
    group_commit = GroupCommit(database, lambda: rings.append(1))
    names = [f"n{n:03}" for n in range(120)]
    assert await asyncio.gather(*(group_commit.write(unit(name)) for name in names)) == names
    assert await _events(database) == names
    assert len(rings) <= 4


async def test_refused_unit_does_not_fail_the_others(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)
    units: list[Unit[Any]] = [unit("a"), refused, unit("b"), broken, unit("c")]
    answers = await asyncio.gather(*(group_commit.write(work) for work in units), return_exceptions=True)
    assert answers[::2] == ["a", "b", "c"]
    assert isinstance(answers[1], errors.Conflict)
    assert isinstance(answers[3], ZeroDivisionError)
    assert await _events(database) == ["a", "b", "c"]


async def test_writes_of_a_refused_unit_are_rolled_back(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)

    async def writes_first(connection: Connection) -> tuple[None, list[EventDraft]]:
        await connection.execute(text("INSERT INTO settings VALUES ('half', '1')"))
        raise errors.Conflict("no")

    await asyncio.gather(*(group_commit.write(w) for w in (unit("a"), writes_first)), return_exceptions=True)
    rows = await database.run(lambda c: c.execute(text("SELECT key FROM settings WHERE key = 'half'")))
    assert rows.all() == []
    assert await _events(database) == ["a"]


async def test_units_behind_a_hung_transaction_fail_in_time(database: Database) -> None:
    """The hung unit, those in its transaction and those behind it fail within the budget, with nothing written."""
    group_commit = GroupCommit(database, lambda: None)

    async def hangs(connection: Connection) -> tuple[None, list[EventDraft]]:
        await connection.execute(text("SELECT pg_sleep(60)"))
        return None, []

    async def seconds_to_fail(work: Unit[Any]) -> tuple[float, BaseException]:
        began = fair_now()
        with pytest.raises(errors.DatabaseUnavailable) as caught:
            await group_commit.write(work)
        return fair_now() - began, caught.value

    first = asyncio.create_task(seconds_to_fail(hangs))
    await asyncio.sleep(0)
    answers = await asyncio.gather(first, *(seconds_to_fail(unit(f"n{n}")) for n in range(60)))
    assert max(seconds for seconds, _ in answers) < 2.5
    assert not any(isinstance(error, faults.OutcomeUnknown) for _, error in answers[2:])
    assert await database.run(last_seq) == 0
    assert await group_commit.write(unit("after")) == "after"


async def test_cancelled_queued_unit_is_not_written(database: Database) -> None:
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
    assert await _events(database) == ["next"]


async def test_tenants_take_turns_and_large_units_are_alone(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)
    go, transactions = asyncio.Event(), list[str]()

    async def holds(_: Connection) -> tuple[None, list[EventDraft]]:
        await go.wait()
        return None, []

    def told(name: str) -> Unit[str]:
        async def work(connection: Connection) -> tuple[str, list[EventDraft]]:
            found = await connection.execute(text("SELECT pg_current_xact_id()::text"))
            transactions.append(f"{name} {found.scalar_one()}")
            return name, []

        return work

    def write(tenant: str, name: str, *, alone: bool = False) -> asyncio.Task[Any]:
        ACTS_FOR.set(tenant)
        return asyncio.create_task(group_commit.write_numbered(told(name), alone=alone))

    held = asyncio.create_task(group_commit.write(holds))
    await asyncio.sleep(0.01)
    bulks = [write("red", f"bulk-{n}", alone=True) for n in range(3)] + [write("blue", "bulk-b", alone=True)]
    smalls = [write("red", f"small-{n}") for n in range(60)] + [write("blue", "small-b"), write("blue", "small-c")]
    await asyncio.sleep(0.01)
    go.set()
    await asyncio.gather(held, *bulks, *smalls)
    names, numbers = zip(*(each.split() for each in transactions), strict=True)
    assert [name for name in names if name.startswith("bulk")] == ["bulk-0", "bulk-b", "bulk-1", "bulk-2"]
    assert names[1:5] == ("small-0", "small-b", "small-1", "small-c"), "in turn, however many wait"
    assert names.index("bulk-b") == 1 + MAX_UNITS, "after a full batch of small ones"
    assert names.index("bulk-1") == 1 + 62 + 1
    assert len(set(numbers)) == 2 + 4


async def test_slow_unit_that_is_alone_does_not_fail_those_behind_it(database: Database) -> None:
    group_commit = GroupCommit(database, lambda: None)

    async def hangs(connection: Connection) -> tuple[None, list[EventDraft]]:
        await connection.execute(text("SELECT pg_sleep(60)"))
        return None, []

    slow = asyncio.create_task(group_commit.write_numbered(hangs, alone=True))
    await asyncio.sleep(1.0)
    behind = asyncio.create_task(group_commit.write(unit("behind")))
    with pytest.raises(errors.DatabaseUnavailable):
        await slow
    assert await behind == "behind"


async def test_tenant_that_is_refused_makes_others_changes_run_once(database: Database) -> None:
    """After its first refusal; and that one costs one transaction more, not one for each change."""
    transactions: list[str] = []
    group_commit = GroupCommit(database, lambda: transactions.append("end"))
    runs: Counter[str] = Counter()

    def counted(name: str, *, fails: bool = False) -> Unit[str]:
        async def work(_: Connection) -> tuple[str, list[EventDraft]]:
            runs[name] += 1
            if fails:
                raise errors.QuotaExceeded("full")
            return name, [draft(name)]

        return work

    def write(tenant: str, work: Unit[str]) -> asyncio.Task[str]:
        ACTS_FOR.set(tenant)
        return asyncio.create_task(group_commit.write(work))

    for round_ in ("first", "second"):
        asked = []
        for n in range(10):
            asked += [write("red", counted(f"red {round_} {n}", fails=n % 2 == 0))]
            asked += [write("blue", counted(f"blue {round_} {n}"))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(answer, errors.QuotaExceeded) for answer in answers) == 5
        assert [answer for answer in answers if not isinstance(answer, BaseException)] == [
            name for n in range(10) for name in ([f"red {round_} {n}"] if n % 2 else []) + [f"blue {round_} {n}"]
        ]
    assert {runs[name] for name in runs if name.startswith("blue second")} == {1}
    assert max(runs[name] for name in runs if name.startswith("blue first")) <= 2
    assert len(transactions) <= 4
    assert len(await _events(database)) == 30


async def test_refused_statement_of_a_guarded_unit_leaves_the_others(database: Database) -> None:
    """A row that exists already: PostgreSQL aborts the transaction up to the savepoint."""
    group_commit = GroupCommit(database, lambda: None)

    async def twice(connection: Connection) -> tuple[None, list[EventDraft]]:
        for _ in range(2):
            await connection.execute(text("INSERT INTO settings VALUES ('same', '1')"))
        return None, []

    with pytest.raises(errors.Conflict):
        await group_commit.write(twice)
    answers = await asyncio.gather(
        *(group_commit.write(work) for work in (unit("a"), twice, unit("b"))), return_exceptions=True
    )
    assert isinstance(answers[1], errors.Conflict)
    assert await _events(database) == ["a", "b"]
    found = await database.run(lambda c: c.execute(text("SELECT 1 FROM settings WHERE key = 'same'")))
    assert found.all() == []
