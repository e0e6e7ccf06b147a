"""Writes the events of all host syncs to the outbox, in batches, and keeps them until the database has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from novacron_core import errors
from novacron_server.database.transactions import Connection
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.places import for_everybody

_log = structlog.get_logger()
_BATCH = 500
_RETRY_S = 0.5
_Key = tuple[str, str, str, str]
"""Target type, target id, source, event type."""


class _Left:
    """What one caller of `flush` waits for: the keys that were queued then, until each has been committed."""

    def __init__(self, keys: Iterable[_Key]) -> None:
        self.keys = set(keys)


class Publisher:
    """Accepts drafts at any rate and commits them in order.

    A draft without a row carries no value (the value is composed when it is folded), so a newer draft with the same
    target, source and type replaces a queued one: memory use stays limited during a database outage. During an outage
    queued drafts are passed to `on_unlogged`, so that readers get them without a sequence number (guarantee G11).
    """

    def __init__(
        self, group_commit: GroupCommit, on_unlogged: Callable[[Sequence[EventDraft]], None] = lambda _: None
    ) -> None:
        self._group_commit = group_commit
        self._database_down = False
        self._on_unlogged = on_unlogged
        self._waiting: dict[_Key, EventDraft] = {}
        self._batch_size = _BATCH
        self._refusal = ""
        self._wake = asyncio.Event()
        self._commit_lock = asyncio.Lock()
        self._flushing: set[_Left] = set()

    def publish(self, *drafts: EventDraft) -> None:
        """Queue these events; does not wait."""
        for draft in drafts:
            key = (draft.target.type, draft.target.id, draft.source, draft.type)
            self._waiting.pop(key, None)
            self._waiting[key] = draft
        if drafts:
            self._wake.set()
        if drafts and self._database_down:
            self._on_unlogged(drafts)

    def set_database_down(self, down: bool) -> None:
        """Set whether the database is down. When it goes down, pass the queued drafts to `on_unlogged`."""
        before, self._database_down = self._database_down, down
        if down and not before:
            self._on_unlogged(list(self._waiting.values()))

    @property
    def waiting(self) -> int:
        """How many events are not in the database yet."""
        return len(self._waiting)

    async def run(self) -> None:
        """Commit until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                async with self._commit_lock:
                    if self._waiting:
                        await self._commit_batch()

    async def flush(self) -> None:
        """Wait until all events that are queued now are committed, or refused by the database, without a time limit."""
        left = _Left(self._waiting)
        self._flushing.add(left)
        try:
            while left.keys:
                async with self._commit_lock:
                    if left.keys:
                        await self._commit_batch()
        finally:
            self._flushing.discard(left)

    async def _commit_batch(self) -> None:
        batch = dict(list(self._waiting.items())[: self._batch_size])

        async def unit(_: Connection) -> tuple[None, list[EventDraft]]:
            return None, list(batch.values())

        try:
            with for_everybody():
                await self._group_commit.write(unit)
        except errors.DatabaseUnavailable as e:
            _log.warning("events are queued: the database is unavailable", waiting=len(self._waiting), reason=e.detail)
            self.set_database_down(True)
            await asyncio.sleep(_RETRY_S)
            return
        except Exception as e:  # noqa: BLE001 - the events of everybody must not end with those that are refused
            await self._refused(list(batch), e)
            return
        self._database_down, self._refusal, self._batch_size = False, "", _BATCH
        for key, draft in batch.items():
            if self._waiting.get(key) is draft:
                del self._waiting[key]
        for left in self._flushing:  # what was published again meanwhile has its value in this one, which is read later
            left.keys -= batch.keys()

    async def _refused(self, keys: list[_Key], error: Exception) -> None:
        """Commit the batch one by one, so that one bad event does not hold up the others; that one goes to the end of
        the queue and is tried again."""
        if self._batch_size > 1 and len(keys) > 1:
            self._batch_size = 1
            return
        if str(error) != self._refusal:
            self._refusal = str(error)
            known = isinstance(error, errors.NovaCronError)
            _log.error("an event was refused and is tried again", key=keys[0], reason=self._refusal,
                       exc_info=None if known else error)  # fmt: skip
        for left in self._flushing:
            left.keys.discard(keys[0])
        if (draft := self._waiting.pop(keys[0], None)) is not None:
            self._waiting[keys[0]] = draft
        self.set_database_down(True)
        await asyncio.sleep(_RETRY_S)
