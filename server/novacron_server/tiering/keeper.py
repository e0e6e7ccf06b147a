"""Keeps the heat of volumes in the database: what is lost with a server that is killed is a minute of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from novacron_core.rules.tiering.heat import Heat
from novacron_server.database.rows import read_each
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.rows import VolumeRow
from novacron_server.inventory.storage_state import StorageState
from novacron_server.tasks import try_to
from novacron_server.tiering import repository
from novacron_server.tiering.book import DAY_S, MEASURES, Day, HeatBook, KnownHeat
from novacron_server.tiering.history import hourly
from novacron_server.tiering.latencies import HOURS

EVERY_S = 60.0
_DAYS_EVERY = 5
"""A day of a volume is a long row: it is stored at every fifth time."""
_DIGITS = {"took_s": 6}
_TIMEOUT_S = 20.0


class HeatKeeper:
    """`load` is called once, before `run`, a background task; `store` also at the end."""

    def __init__(self, database: Database, storage: StorageState, book: HeatBook, *, every_s: float = EVERY_S) -> None:
        self._database, self._storage, self._book, self._every_s = database, storage, book, every_s
        self._stored = 0
        self._watches: dict[str, float] = {}

    async def load(self, connection: Connection) -> None:
        """Take over what earlier servers have seen."""
        book, now = self._book, self._book.clock.now()
        book.watched = {host: min(at, now) for host, at in (await repository.watches(connection)).items()}
        rows = self._rows()
        for volume_id, known in read_each(await repository.all_heat(connection), lambda row: _known(row, now)):
            if (volume := rows.get(volume_id)) is not None:
                known.host_id = volume.host_id
                book.volumes[volume_id] = known
        today = int(now // DAY_S)
        for volume_id, day in read_each(await repository.days_between(connection, today - 1, today), _day):
            if volume_id in book.volumes:
                book.volumes[volume_id].days[day.day] = day
        since = datetime.fromtimestamp(now, UTC) - timedelta(hours=HOURS + 1)
        book.latencies.load(await repository.latencies_since(connection, since))

    async def run(self) -> None:
        """Store every minute until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            self.look()
            await try_to("storing the heat of volumes", self.store)

    def look(self) -> None:
        """Begin to watch new volumes, forget those that are gone, and follow the clock."""
        self._book.know(self._rows().values())
        if shift := self._book.clock.adjust():
            self._book.shift(shift)

    async def store(self, *, days: bool | None = None) -> None:
        """Store what has changed; with its days at every fifth time, or always or never. Raises DatabaseUnavailable."""
        book = self._book
        with_days = self._stored % _DAYS_EVERY == 0 if days is None else days
        changed, book.changed = book.changed, set()
        latencies, book.latencies.changed = book.latencies.changed, set()
        known = {volume_id: book.volumes[volume_id] for volume_id in changed if volume_id in book.volumes}
        if not known and not latencies and book.watched == self._watches:
            return
        watches = dict(book.watched)
        heat = _json(_heat_row(volume_id, each) for volume_id, each in known.items())
        stored_days = known.items() if with_days else ()
        hours = _json(day for volume_id, each in stored_days for day in _day_rows(volume_id, each))
        counts = _json(
            {"host_id": host, "tier": tier, "hour": _time(hour), "counts": book.latencies.hours[host, tier][hour]}
            for host, tier, hour in latencies
            if hour in book.latencies.hours.get((host, tier), {})
        )
        seen = _json({"host_id": host, "at": _time(at)} for host, at in watches.items())
        try:
            await self._database.run(
                lambda c: repository.write(c, heat=heat, days=hours, latencies=counts, watches=seen),
                timeout_s=_TIMEOUT_S,
            )
        except BaseException:
            book.changed |= changed
            book.latencies.changed |= latencies
            raise
        self._stored += 1
        self._watches = watches
        if with_days:
            oldest = int(book.clock.now() // DAY_S) - 1  # a reading may still cover a part of yesterday
            for each in known.values():
                each.days = {day: kept for day, kept in each.days.items() if day >= oldest}
        else:
            book.changed |= {volume_id for volume_id, each in known.items() if each.days}

    def _rows(self) -> dict[str, VolumeRow]:
        return {row.id: row for row in self._storage.volume_rows.values()}

    async def close(self) -> None:
        """Store what is left, at the end."""
        await try_to("storing the heat of volumes", lambda: self.store(days=True))


def _known(row: repository.StoredRow, now: float) -> tuple[str, KnownHeat]:
    """A volume's id, and what is stored of it. Raises ValueError for what cannot be: a damaged row counts as none."""
    numbers = (row.at, row.fast, row.slow, row.observed_s, row.reads, row.writes, row.read_bytes, row.written_bytes)
    if not all(math.isfinite(value) for value in numbers) or min(numbers) < 0:
        raise ValueError("not finite, or negative")
    at = min(row.at, now)
    accessed_at = min(row.accessed_at, at) if row.accessed_at is not None and math.isfinite(row.accessed_at) else None
    heat = Heat(at=at, fast=row.fast, slow=row.slow, observed_s=row.observed_s, accessed_at=accessed_at)
    known = KnownHeat(
        "",
        heat,
        reads=row.reads,
        writes=row.writes,
        read_bytes=row.read_bytes,
        written_bytes=row.written_bytes,
        active=row.active,
        sequential=row.sequential,
        above=row.above,
    )
    return str(row.volume_id), known


def _day(row: repository.StoredRow) -> tuple[str, Day]:
    """A volume's id, and a day of it. Raises TypeError, ValueError for what cannot be."""
    day = Day(repository.day_of(row.day), row.tier)
    for name in MEASURES:
        for hour, value in enumerate(hourly(getattr(row, name))):
            day.measure(name)[hour] = value
    return str(row.volume_id), day


def _heat_row(volume_id: str, known: KnownHeat) -> dict[str, Any]:
    heat = known.heat
    return {
        "volume_id": volume_id,
        "at": _time(heat.at),
        "fast": heat.fast,
        "slow": heat.slow,
        "observed_s": heat.observed_s,
        "accessed_at": None if heat.accessed_at is None else _time(heat.accessed_at),
        "reads": known.reads,
        "writes": known.writes,
        "read_bytes": known.read_bytes,
        "written_bytes": known.written_bytes,
        "active": known.active,
        "sequential": known.sequential,
        "above": known.above,
    }


def _day_rows(volume_id: str, known: KnownHeat) -> Iterable[dict[str, Any]]:
    for day in known.days.values():
        sums = {name: [round(value, _DIGITS.get(name, 2)) for value in day.measure(name)] for name in MEASURES}
        yield {"volume_id": volume_id, "day": repository.date_of(day.day), "tier": day.tier, **sums}


def _json(rows: Iterable[dict[str, Any]]) -> str:
    return msgspec.json.encode(list(rows)).decode()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
