"""Puts what the keepers noticed into the outbox: many events in one transaction, kept until the database took them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from novacron_core import errors
from novacron_server.database.transactions import Connection
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft

_log = structlog.get_logger()
_BATCH = 500
_RETRY_S = 0.5


class Publisher:
    """Takes drafts at any pace and commits them in order.

    A draft without a row carries no value of its own (the value is composed when it is folded), so a newer draft for
    the same target, source and type replaces an older one that still waits: memory stays bounded while the database is away.
    What waits then is told without a number, by `on_unlogged`, so that readers see it all the same (promise G11).
    """

    def __init__(self, group_commit: GroupCommit) -> None:
        self._group_commit = group_commit
        self._away = False
        self.on_unlogged: Callable[[Sequence[EventDraft]], None] = lambda _: None
        self._waiting: dict[tuple[str, str, str, str], EventDraft] = {}
        self._wake = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def publish(self, *drafts: EventDraft) -> None:
        """Promise these events; returns at once."""
        for draft in drafts:
            key = (draft.target.type, draft.target.id, draft.source, draft.type)
            self._waiting.pop(key, None)
            self._waiting[key] = draft
        if drafts:
            self._wake.set()
        if drafts and self._away:
            self.on_unlogged(drafts)

    def database_away(self, away: bool) -> None:
        """The database was lost, or is back."""
        was, self._away = self._away, away
        if away and not was:
            self.on_unlogged(list(self._waiting.values()))

    @property
    def waiting(self) -> int:
        """How many events are not yet in the database."""
        return len(self._waiting)

    async def run(self) -> None:
        """Commit for ever. Cancel to stop."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Wait until everything promised so far is committed, however long the database takes."""
        while self._waiting:
            async with self._one_at_a_time:
                await self._commit_some()

    async def _commit_some(self) -> None:
        batch = dict(list(self._waiting.items())[:_BATCH])

        async def told(_: Connection) -> tuple[None, list[EventDraft]]:
            return None, list(batch.values())

        try:
            await self._group_commit.write(told)
        except errors.DatabaseUnavailable as e:
            _log.warning("events wait for the database", waiting=len(self._waiting), reason=e.detail)
            self.database_away(True)
            await asyncio.sleep(_RETRY_S)
            return
        self._away = False
        for key, draft in batch.items():
            if self._waiting.get(key) is draft:
                del self._waiting[key]
