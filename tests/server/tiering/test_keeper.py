"""The heat of volumes in the database."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from novacron_core import errors
from novacron_server.database.rows import read_each
from novacron_server.database.transactions import Connection, Database
from novacron_server.hosts import repository as hosts
from novacron_server.hypervisor.statistics.counters import DiskCounters, DomainCounters, Reading
from novacron_server.inventory.rows import VolumeRow
from novacron_server.tiering import history, repository
from novacron_server.tiering.book import DAY_S, HOUR_S, HeatBook
from novacron_server.tiering.keeper import HeatKeeper
from novacron_server.volumes import repository as volumes
from tests.support.heat import Disks, ReadingsClock

NOON = (datetime.now(UTC).timestamp() // DAY_S - 1) * DAY_S + 12 * HOUR_S
"""Yesterday's: nothing is stored as of a time to come."""


class Kept:
    """A server's book and keeper on a database."""

    def __init__(self, database: Database, rows: list[VolumeRow], now: float = NOON + 600) -> None:
        self.clock = ReadingsClock(now)
        self.book = HeatBook(Disks(rows), self.clock)
        self.keeper = HeatKeeper(database, self.book._storage, self.book)
        self.database = database

    def read(self, rows: list[VolumeRow], at: float, total: int, *, active: bool = True) -> None:
        self.clock.time = at
        domains = [
            DomainCounters(row.id, 1, at, disks=(DiskCounters("vda", total << 12, total, 0, 0, total * 1_000_000),))
            for row in rows
            if active
        ]
        reading = Reading(group="disks", time=datetime.now(UTC), at=at, took_s=0.0, domains=domains)
        self.book.record((rows[0].host_id, reading))

    async def load(self) -> Kept:
        await self.database.run(self.keeper.load)
        return self


async def make(database: Database, number: int) -> list[VolumeRow]:
    """Volumes with rows, on one host."""

    async def work(connection: Connection) -> list[VolumeRow]:
        host = await hosts.get_or_create(connection, "qemu:///system")
        rows = [
            VolumeRow(
                id=str(uuid4()), host_id=host.id, pool="p", name=f"v{at}", tenant="default", owner="ann", tier="hot",
                created_at=datetime.now(UTC),
            )
            for at in range(number)
        ]  # fmt: skip
        for row in rows:
            await volumes.add(connection, row)
        return rows

    return await database.run(work)


async def test_heat_survives_a_restart_and_the_time_without_a_server(database: Database) -> None:
    rows = await make(database, 2)
    first = Kept(database, rows)
    for at in range(5):
        first.read(rows, NOON + 15 * at, 3000 * at)
    first.keeper.look()
    await first.keeper.store(days=True)
    second = await Kept(database, rows).load()
    for row in rows:
        before, after = first.book.volumes[row.id], second.book.volumes[row.id]
        assert second.book.rates(after) == pytest.approx(first.book.rates(before))
        assert after.heat == before.heat
        assert (after.reads, after.read_bytes, after.active) == (12_000, 12_000 << 12, 4)
    later = NOON + 6 * HOUR_S
    second.read(rows, later, 5)
    second.read(rows, later + 10, 2005)
    kept = second.book.volumes[rows[0].id]
    assert second.book.rates(kept).fast == pytest.approx(200, rel=1e-3)
    assert kept.heat.observed_s == pytest.approx(70)
    found = second.book.latencies.percentiles(rows[0].host_id, "hot", later)
    assert found == pytest.approx((1.0, 1.0), rel=0.06)


async def test_hours_go_on_after_a_restart(database: Database) -> None:
    rows = await make(database, 1)
    for begin in (0, 100):
        server = await Kept(database, rows).load()
        server.read(rows, NOON + begin, 1000)
        server.read(rows, NOON + begin + 50, 2000)
        await server.keeper.close()
    (day,) = await database.run(
        lambda c: repository.days_of(c, rows[0].id, datetime.fromtimestamp(NOON, UTC)), read_only=True
    )
    assert [value for value in day.operations if value] == [2000]
    assert day.observed_s[12] == 100
    assert day.tier == "hot"


async def test_volume_that_is_gone_costs_no_other_its_heat(database: Database) -> None:
    rows = await make(database, 3)
    server = Kept(database, rows)
    server.read(rows, NOON, 0)
    server.read(rows, NOON + 10, 1000)
    await database.run(lambda c: volumes.remove(c, rows[0].id))
    await server.keeper.store(days=True)
    await database.run(lambda c: volumes.remove(c, rows[1].id))  # its heat and days go with it
    found = await database.run(repository.all_heat)
    assert [str(row.volume_id) for row in found] == [rows[2].id]


async def test_what_could_not_be_stored_is_stored_later(database: Database) -> None:
    rows = await make(database, 1)
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    server = Kept(away, rows)
    server.read(rows, NOON, 0)
    server.read(rows, NOON + 10, 1000)
    with pytest.raises(errors.DatabaseUnavailable):
        await server.keeper.store(days=True)
    await away.close()
    server.keeper._database = database
    await server.keeper.store(days=True)
    again = await Kept(database, rows).load()
    assert again.book.volumes[rows[0].id].reads == 1000
    assert again.book.latencies.percentiles(rows[0].host_id, "hot", NOON) is not None


async def test_days_that_are_kept_too_long_are_deleted(database: Database) -> None:
    rows = await make(database, 1)
    server = Kept(database, rows)
    for days in (0, 10, 20):
        server.read(rows, NOON + days * DAY_S, 0)
        server.read(rows, NOON + days * DAY_S + 10, 1000)
    await server.keeper.store(days=True)
    now = datetime.fromtimestamp(NOON + 20 * DAY_S, UTC)
    assert await database.run(lambda c: repository.drop_expired(c, now, timedelta(days=15))) > 0
    left = await database.run(lambda c: repository.days_of(c, rows[0].id, now - timedelta(days=60)))
    assert [day.day for day in left] == [(now - timedelta(days=days)).date() for days in (10, 0)]


async def test_an_hour_of_a_volume_takes_at_most_100_bytes(database: Database, owner_url: str) -> None:
    """With indices, stored as often as in ten days of a server."""
    rows = await make(database, 40)
    server = Kept(database, rows)
    for hour in range(10 * 24):
        for at in (0, 1800):
            server.read(rows, NOON + hour * HOUR_S + at, 1000 + hour * 7919 + at)
        server.clock.time = NOON + hour * HOUR_S
        await server.keeper.store(days=True)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM volume_heat_days")
        size = connection.execute("SELECT pg_total_relation_size('volume_heat_days')").fetchone()
    assert size is not None
    assert size[0] / (40 * 10 * 24) <= 100


@pytest.mark.parametrize("pause_s", [20, HOUR_S], ids=["reading", "job"])
async def test_day_is_whole_when_a_reading_covers_midnight(database: Database, pause_s: int) -> None:
    """Also one that comes after the day was stored, as after a long job of QEMU."""
    rows = await make(database, 1)
    server = Kept(database, rows)
    midnight = (NOON // DAY_S + 1) * DAY_S
    for minute in range(600):
        server.read(rows, midnight - 36_000 + minute * 60, 100 * minute)
    await server.keeper.store(days=True)
    server.clock.time = midnight + 5
    server.book.changed |= {rows[0].id}
    await server.keeper.store(days=True)
    server.read(rows, midnight + pause_s, 61_000)
    await server.keeper.store(days=True)
    since = datetime.fromtimestamp(NOON, UTC)
    first, second = await database.run(lambda c: repository.days_of(c, rows[0].id, since), read_only=True)
    assert sum(first.operations) > 59_900
    assert sum(first.operations) + sum(second.operations) == pytest.approx(61_000)


DAMAGED = (
    "UPDATE volume_heat SET fast = 'NaN'",
    "UPDATE volume_heat SET reads = 'Infinity'",
    "UPDATE volume_heat SET observed_s = -1",
    "UPDATE volume_heat SET at = 'infinity'",
    "UPDATE volume_heat SET at = '20000-01-01'",
    "UPDATE volume_heat SET at = '0100-01-01 BC'",
    "UPDATE volume_heat SET accessed_at = '-infinity'",
    "UPDATE volume_heat_days SET operations = '{{1,2},{3,4}}'",
    "UPDATE volume_heat_days SET took_s = '{NaN}'",
    "UPDATE volume_heat_days SET bytes = array_fill(1.0::real, ARRAY[1000])",
    "UPDATE volume_heat_days SET weighted = '{NULL}'",
    "UPDATE volume_heat_days SET day = 'infinity'",
    "UPDATE volume_heat_days SET day = '20000-01-01'",
    "UPDATE tier_latencies SET counts = '{NULL}'",
    "UPDATE tier_latencies SET counts = '{{1,2},{3,4}}'",
    "UPDATE tier_latencies SET hour = 'infinity'",
    "UPDATE heat_watches SET at = 'infinity'",
)


@pytest.mark.parametrize("damage", DAMAGED)
async def test_damaged_row_costs_no_other_its_heat(database: Database, owner_url: str, damage: str) -> None:
    """The server starts, shows the heat of the others, and stores again (G14)."""
    rows = await make(database, 2)
    server = Kept(database, rows)
    for at in range(3):
        server.read(rows, NOON + 15 * at, 3000 * at)
    await server.keeper.store(days=True)
    narrowed = f" WHERE volume_id = '{rows[0].id}'" if "volume_" in damage else ""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(damage + narrowed)
    again = await Kept(database, rows).load()
    assert again.book.rates(again.book.volumes[rows[1].id]).fast == pytest.approx(200)
    again.book.latencies.percentiles(rows[0].host_id, "hot", NOON)
    for at in range(3):
        again.read(rows, NOON + 900 + 15 * at, 3000 * at)
    for known in again.book.volumes.values():
        assert math.isfinite(again.book.rates(known).slow)
    await again.keeper.store(days=True)
    third = await Kept(database, rows).load()
    assert third.book.volumes[rows[0].id].reads >= 6000
    since = datetime.fromtimestamp(NOON, UTC) - timedelta(days=1)
    read_each(await database.run(lambda c: repository.days_of(c, rows[0].id, since), read_only=True), history.stored)
