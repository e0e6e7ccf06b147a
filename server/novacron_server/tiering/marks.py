"""Tells when a tier of a host becomes too full, and when it has room again. What was told survives a restart."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from novacron_core import errors
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering.marks import TYPES, Fill, fill_after, fill_text, is_told
from novacron_core.rules.visibility import SHARED
from novacron_core.values.tiers import TierName
from novacron_server.database.repository import setting, store_setting
from novacron_server.database.transactions import Connection
from novacron_server.inventory.inventory import Inventory
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.tiering.spaces import TierDisks, tiers_of

KEY = "storage.fill"
_RETRY_S = 1.0
_PRIORITIES = {Fill.FILLING: Priority.HIGH, Fill.NEARLY_FULL: Priority.CRITICAL, Fill.NORMAL: Priority.NORMAL}
_log = structlog.get_logger()
_Told = dict[str, dict[str, Fill]]
"""By host id and tier, without those that are not full."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A tier of a host with the tiers on the same disk, which are told of together."""

    host_id: str
    tiers: list[TierName]
    space: TierDisks

    @property
    def used(self) -> float:
        return self.space.used_bytes / self.space.capacity_bytes


class TierMarks:
    """`run` is a background task; `policy` returns the one in force. A tier without an active pool, or on a host that does
    not respond, stays as it was told."""

    def __init__(self, group_commit: GroupCommit, inventory: Inventory, policy: Callable[[], StoragePolicy]) -> None:
        self._group_commit, self._inventory, self._policy = group_commit, inventory, policy
        self._told: _Told = {}
        self._wake = asyncio.Event()
        inventory.storage_read.listen(self._look)

    async def load(self, connection: Connection) -> None:
        """Take over what earlier servers have told."""
        self._told = _told(await setting(connection, KEY))

    def _look(self, host_id: str) -> None:
        if any(self._after(self._told, each) is not _of(self._told, each) for each in self._seen(host_id)):
            self._wake.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._tell()
            except errors.NovaCronError as e:
                _log.warning("how full the tiers are is not told yet", reason=e.detail)
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _tell(self) -> None:
        """Raises DatabaseUnavailable. Compares with the stored state, so that retrying a transaction with an unknown outcome
        emits no event twice."""

        async def work(connection: Connection) -> tuple[_Told, list[EventDraft]]:
            stored = _told(await setting(connection, KEY))
            after, drafts = {host: dict(tiers) for host, tiers in stored.items()}, list[EventDraft]()
            for each in (each for host_id in self._inventory.state.views for each in self._seen(host_id)):
                fill, before = self._after(stored, each), _of(stored, each)
                after.setdefault(each.host_id, {})[each.space.tier] = fill
                if is_told(before, fill):
                    drafts.append(self._event(each, fill))
            kept = _full(after)
            if kept != stored:
                await store_setting(connection, KEY, kept)
            return kept, drafts

        self._told = await self._group_commit.write(work)

    def _seen(self, host_id: str) -> Iterator[_Seen]:
        """The tiers of a host whose size is known."""
        found = tiers_of(self._inventory.state.storage, host_id)
        sharing = defaultdict[TierName, list[TierName]](list)
        for each in found:
            sharing[each.shares_with or each.tier].append(each.tier)
        for each in found:
            if each.shares_with is None:
                yield _Seen(host_id, sharing[each.tier], each)

    def _after(self, told: _Told, seen: _Seen) -> Fill:
        return fill_after(_of(told, seen), seen.used, self._policy())

    def _event(self, seen: _Seen, fill: Fill) -> EventDraft:
        space, tier = seen.space, seen.space.tier
        host = self._inventory.state.views[seen.host_id].name
        return EventDraft(
            type=TYPES[fill],
            source=seen.host_id,
            target=Target(type="tier", id=tier, name=tier),
            tenant=SHARED,
            priority=_PRIORITIES[fill],
            note=fill_text(fill, seen.tiers, host, space.used_bytes, space.capacity_bytes, self._policy()),
        )


def _of(told: _Told, seen: _Seen) -> Fill:
    return told.get(seen.host_id, {}).get(seen.space.tier, Fill.NORMAL)


def _full(fills: Mapping[str, Mapping[str, Fill]]) -> _Told:
    kept: _Told = {}
    for host, tiers in fills.items():
        kept[host] = {tier: fill for tier, fill in tiers.items() if fill is not Fill.NORMAL}
    return {host: tiers for host, tiers in kept.items() if tiers}


def _told(stored: Any) -> _Told:
    """What is stored; what is not valid there counts as not told."""
    hosts = stored.items() if isinstance(stored, dict) else ()
    return _full(
        {
            str(host): {tier: Fill(fill) for tier, fill in tiers.items() if fill in [str(each) for each in Fill]}
            for host, tiers in hosts
            if isinstance(tiers, dict)
        }
    )
