"""Heat for authorized readers: the volumes ranked by it, and one over time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from novacron_core import errors
from novacron_core.api.samples import heat_per_gib
from novacron_core.api.tiering import HeatHistory, HeatQuery, StoragePolicy, VolumeHeat
from novacron_core.api.volumes import Volume
from novacron_core.rules.tiering.classes import cost_month
from novacron_core.rules.tiering.heat import ROLES
from novacron_core.rules.visibility import Principal
from novacron_server.database.rows import read_each
from novacron_server.database.transactions import Connection, Database
from novacron_server.tiering import history, repository
from novacron_server.tiering.book import HeatBook
from novacron_server.tiering.rounding import significant
from novacron_server.volumes.service import Volumes


class HeatService:
    """Shows what the book knows of the volumes that a principal sees."""

    def __init__(
        self, database: Database, volumes: Volumes, book: HeatBook, policy: Callable[[], StoragePolicy]
    ) -> None:
        """`policy` returns the one in force."""
        self._database, self._volumes, self._book, self._policy = database, volumes, book, policy

    def list(self, principal: Principal, q: str = "") -> Iterator[VolumeHeat]:
        """The heat of the disks that match the filter `q`, of those that were watched. Raises ValidationFailed."""
        found = (self._of(volume) for volume in self._volumes.list(principal, q))
        return (heat for heat in found if heat is not None)

    async def of_volume(self, principal: Principal, volume_id: str, query: HeatQuery) -> HeatHistory:
        """Raises NotFound, also for a volume that is no disk or was not watched yet, DatabaseUnavailable, and RateLimited
        while many others search."""
        volume = self._volumes.get(principal, volume_id)
        now = self._of(volume)
        if now is None:
            raise errors.NotFound(f"{volume.name} has no heat: {_why_none(volume)}")
        end = datetime.fromtimestamp(self._book.clock.now(), UTC)
        since = end - timedelta(days=query.days)

        async def read(connection: Connection) -> list[history.StoredDay]:
            return read_each(await repository.days_of(connection, volume_id, since), history.stored)

        async with self._database.search(principal):
            stored = {day.day: day for day in await self._database.run(read, read_only=True)}
        if (known := self._book.volumes.get(volume_id)) is not None:  # it may have been deleted meanwhile
            stored |= {day.day: history.stored_now(day) for day in known.days.values()}
        return history.history(now, list(stored.values()), since, end, query.points)

    def _of(self, volume: Volume) -> VolumeHeat | None:
        known = self._book.volumes.get(volume.id)
        if known is None or volume.role not in ROLES:
            return None
        heat, rates = self._book.heat_and_rates(known)
        operations = known.reads + known.writes
        cost = cost_month(self._policy(), volume.tier, volume.allocated_bytes)
        return VolumeHeat(
            id=volume.id,
            name=volume.name,
            host=volume.host,
            tier=volume.tier,
            vm=volume.vm,
            allocated_bytes=volume.allocated_bytes,
            heat=significant(heat_per_gib(rates.fast, rates.slow, volume.allocated_bytes)),
            fast=significant(rates.fast),
            slow=significant(rates.slow),
            observed_s=round(heat.observed_s),
            as_of=datetime.fromtimestamp(heat.at, UTC),
            accessed_at=datetime.fromtimestamp(heat.accessed_at, UTC) if heat.accessed_at is not None else None,
            reads=round(known.reads),
            writes=round(known.writes),
            read_bytes=round(known.read_bytes),
            written_bytes=round(known.written_bytes),
            mean_bytes=round((known.read_bytes + known.written_bytes) / operations) if operations else None,
            sequential=round(known.sequential / known.active, 3) if known.active else None,
            cost_month=None if cost is None else round(cost, 2),
        )


def _why_none(volume: Volume) -> str:
    if volume.unmanaged:
        return "it is unmanaged"
    if volume.role not in ROLES:
        return f"it is the {volume.role} of a VM, whose reads no disk counts"
    return "its host was not read since it was made"
