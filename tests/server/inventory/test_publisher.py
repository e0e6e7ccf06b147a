"""Events are written whatever the database answers, and one that is refused does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api.operations import Target
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory import publisher as module
from novacron_server.inventory.publisher import Publisher
from novacron_server.outbox.group_commit import MAX_UNITS, GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.places import ACTS_FOR


class FakeGroupCommit:
    """Commits batches unless `refuse` returns an error for their ids."""

    def __init__(self, refuse: Callable[[list[str]], Exception | None]) -> None:
        self._refuse = refuse
        self.written: list[str] = []

    async def write(self, unit: Callable[[Any], Awaitable[tuple[None, list[EventDraft]]]]) -> None:
        _, drafts = await unit(None)
        ids = [draft.target.id for draft in drafts]
        if (error := self._refuse(ids)) is not None:
            raise error
        self.written += ids


def draft(target_id: str) -> EventDraft:
    return EventDraft(type="vm.updated", source="h1", target=Target(type="vm", id=target_id))


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.01)


async def run_until(publisher: Publisher, condition: Callable[[], bool]) -> None:
    task = asyncio.create_task(publisher.run())
    try:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)
        assert not task.done()
    finally:
        task.cancel()


@pytest.mark.parametrize(
    "error", [errors.Internal("rejected (42501)"), errors.DatabaseUnavailable("gone"), KeyError("x")]
)
async def test_events_are_written_after_any_refusal(error: Exception) -> None:
    refusals = [error] * 3
    group_commit = FakeGroupCommit(lambda _: refusals.pop() if refusals else None)
    publisher = Publisher(group_commit)  # type: ignore[arg-type]
    publisher.publish(draft("a"), draft("b"))
    await run_until(publisher, lambda: publisher.waiting == 0)
    assert sorted(group_commit.written) == ["a", "b"]


async def test_event_that_is_always_refused_does_not_hold_up_the_others() -> None:
    unlogged: list[str] = []
    group_commit = FakeGroupCommit(lambda ids: errors.Internal("rejected (22P05)") if "bad" in ids else None)
    publisher = Publisher(group_commit, lambda drafts: unlogged.extend(d.target.id for d in drafts))  # type: ignore[arg-type]
    publisher.publish(draft("a"), draft("bad"), draft("b"))
    await run_until(publisher, lambda: publisher.waiting == 1)
    publisher.publish(draft("c"))
    await run_until(publisher, lambda: "c" in group_commit.written)
    assert sorted(group_commit.written) == ["a", "b", "c"]
    assert "bad" in unlogged, "readers get it without a number"


async def test_events_do_not_wait_for_the_turn_of_who_flushes_them(database: Database) -> None:
    """A tenant with many changes that wait does not hold up the events that others wait for."""
    group_commit = GroupCommit(database, lambda: None)
    publisher = Publisher(group_commit)
    transactions = 0

    async def slow(_: Connection) -> tuple[None, list[EventDraft]]:
        nonlocal transactions
        transactions += 1
        await asyncio.sleep(0.002)
        return None, []

    async def flush(tenant: str) -> int:
        ACTS_FOR.set(tenant)
        publisher.publish(draft(tenant))
        await publisher.flush()
        return transactions

    async def change() -> None:
        ACTS_FOR.set("red")
        await group_commit.write(slow)

    flood = [asyncio.create_task(change()) for _ in range(10 * MAX_UNITS)]
    await asyncio.sleep(0)
    done = await asyncio.gather(*(asyncio.create_task(flush(tenant)) for tenant in ("red", "blue")))
    assert max(done) < 4 * MAX_UNITS, "two batches at most, and the one that was open"
    await asyncio.gather(*flood, return_exceptions=True)
    await group_commit.close()


async def test_flush_waits_for_what_was_queued_before_it_and_for_nothing_else() -> None:
    group_commit = FakeGroupCommit(lambda _: None)
    publisher = Publisher(group_commit)  # type: ignore[arg-type]
    publisher.publish(draft("mine"))
    write = group_commit.write

    async def write_while_others_publish(unit: Any) -> None:
        await write(unit)
        publisher.publish(draft(f"other-{len(group_commit.written)}"))  # without end

    group_commit.write = write_while_others_publish  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await publisher.flush()
    assert group_commit.written == ["mine"]
    assert publisher.waiting == 1


async def test_flush_returns_although_its_event_is_published_again_and_again() -> None:
    group_commit = FakeGroupCommit(lambda _: None)
    publisher = Publisher(group_commit)  # type: ignore[arg-type]
    publisher.publish(draft("mine"))
    write = group_commit.write

    async def write_while_it_changes(unit: Any) -> None:
        await write(unit)
        publisher.publish(draft("mine"))

    group_commit.write = write_while_it_changes  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await publisher.flush()
    assert publisher.waiting == 1


async def test_flush_does_not_wait_for_an_event_that_is_refused() -> None:
    group_commit = FakeGroupCommit(lambda ids: errors.Internal("rejected (22P05)") if "bad" in ids else None)
    publisher = Publisher(group_commit)  # type: ignore[arg-type]
    publisher.publish(draft("bad"), draft("good"))
    async with asyncio.timeout(5):
        await publisher.flush()
    assert group_commit.written == ["good"]
