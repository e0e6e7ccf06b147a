"""Events are written whatever the database answers, and one that is refused does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api.operations import Target
from novacron_server.inventory import publisher as module
from novacron_server.inventory.publisher import Publisher
from novacron_server.outbox.records import EventDraft


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
