"""Writes samples to the database: copied as they come, rolled up by the minute, forgotten by the partition.

While the database is away samples wait in memory, bounded; nothing else waits for them. What had to go is a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from novacron_core import errors
from novacron_core.api.samples import HostSample, VMSample
from novacron_core.api.usage import UsageTotals
from novacron_server.database.guarded_clock import GuardedClock
from novacron_server.database.tables import METRICS
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics import copy_rows, repository
from novacron_server.metrics.copy_rows import FLEET, host_subject, tenant_subject, vm_subject
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.totals import total
from novacron_server.metrics.write_queue import Chunk, WriteQueue

_log = structlog.get_logger()
WRITE_S = 5.0
MINUTE = timedelta(minutes=1)
AHEAD = timedelta(hours=3)
"""Partitions are made so long before they are needed; an alarm is raised when that fails."""
_OLDEST = timedelta(days=1)
"""A sample with a stranger time than this (a clock was set) is not kept."""
_SETTLED = timedelta(seconds=10)
_AT_ONCE = timedelta(minutes=10)
_COPY_BYTES = 4 << 20
_MAINTENANCE_TIMEOUT_S = 30.0


class HistoryWriter:
    """Fed by the board's rounds. `rolled_to` is how far minutes are rolled up, `problem` why partitions are not made."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        board: LatestSamples,
        *,
        samples_kept: timedelta,
        minutes_kept: timedelta,
    ) -> None:
        self.samples_kept = samples_kept
        self.minutes_kept = minutes_kept
        self.waiting = WriteQueue()
        self.rolled_to: datetime | None = None
        self.problem = ""
        self.written = 0
        self._database = database
        self._inventory = inventory
        self._board = board
        self._hours: set[datetime] = set()
        self._rounds: list[tuple[str, datetime, HostSample, list[tuple[str, VMSample]]]] = []
        self._away = False
        board.on_round.append(self._take_host)

    # -- taking ------------------------------------------------------------------------------------------------------

    def _take_host(self, host_id: str) -> None:
        host = self._board.hosts[host_id]
        if host.time is not None:
            vms = [(vm_id, vm.sample) for vm_id, vm in host.vms.items()]
            self._rounds.append((host_id, host.time, host.sample, vms))

    def take_totals(self, now: datetime) -> None:
        """The sums over the fleet and over each tenant's VMs, as they are now."""
        by_tenant: dict[str | None, list[tuple[VMSample, int]]] = {}
        for vm in self._inventory.state.vms():
            if sample := self._board.sample(vm.host, vm.id):
                by_tenant.setdefault(vm.tenant, []).append((sample, vm.vcpus))
        everything = total(pair for pairs in by_tenant.values() for pair in pairs)
        rows = [(tenant_subject(tenant), numbers_of(total(pairs))) for tenant, pairs in by_tenant.items() if tenant]
        self.waiting.add(_packed(now, [(FLEET, numbers_of(everything)), *rows]))

    async def pack(self) -> None:
        """Let the rounds since the last time wait for the database, as the few bytes they become there."""
        rounds, self._rounds = self._rounds, []
        for chunk in await asyncio.to_thread(lambda: [_chunk(*each) for each in rounds]):
            self.waiting.add(chunk)

    # -- writing -----------------------------------------------------------------------------------------------------

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What must run as long as the server does, by name."""
        return [("metrics history", self._write_for_ever), ("metrics retention", self._maintain_for_ever)]

    async def _write_for_ever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            await self.pack()
            self.take_totals(datetime.now(UTC))
            try:
                await self.write()
            except errors.NovaCronError as e:
                log = _log.debug if self._away else _log.warning
                log("samples wait for the database", rows=self.waiting.rows, reason=e.detail)
                self._away = True
            else:
                self._away = False

    async def write(self) -> None:
        """Everything that waits. Raises DatabaseUnavailable; what was not written goes on waiting."""
        while chunks := self.waiting.first(_COPY_BYTES):
            now = datetime.now(UTC)
            good = [chunk for chunk in chunks if abs(now - chunk.time) < _OLDEST]
            await self._ensure(good)

            async def work(connection: Connection, good: list[Chunk] = good) -> None:
                await repository.copy(connection, (chunk.data for chunk in good))

            if good:
                await self._copied(work)
            self.written += sum(chunk.rows for chunk in good)
            self.waiting.lost += sum(chunk.rows for chunk in chunks) - sum(chunk.rows for chunk in good)
            self.waiting.written(chunks)

    async def _copied(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        try:
            await self._database.run(work)
        except errors.NovaCronError:
            self._hours.clear()  # partitions may have gone: the clock was set, or the database was away for long
            raise

    async def _ensure(self, chunks: list[Chunk]) -> None:
        """The partitions of these samples: there already, but after a clock was set or a day without the database."""
        hours = {chunk.time.replace(minute=0, second=0, microsecond=0) for chunk in chunks}
        if hours <= self._hours:
            return
        await self._database.run(
            lambda connection: repository.make_partitions(connection, min(hours), max(hours)),
            timeout_s=_MAINTENANCE_TIMEOUT_S,
        )
        self._hours |= hours

    # -- maintaining -------------------------------------------------------------------------------------------------

    async def _maintain_for_ever(self) -> None:
        calendar = GuardedClock()
        while True:
            now = datetime.now(UTC)
            await self.make_partitions(now)
            try:
                await self.roll_up(now)
                await self.forget(calendar.now())
            except errors.NovaCronError as e:
                _log.warning("rolling up samples waits", reason=e.detail)
            await asyncio.sleep(60.0 - datetime.now(UTC).second % 60 + _SETTLED.total_seconds())

    async def make_partitions(self, now: datetime) -> None:
        """Those of the next hours. Never raises: `problem` says that it failed, for health."""
        try:
            await self._database.run(
                lambda connection: repository.make_partitions(connection, now, now + AHEAD),
                timeout_s=_MAINTENANCE_TIMEOUT_S,
            )
        except errors.NovaCronError as e:
            if not self.problem:
                _log.error("partitions for samples cannot be made ahead", reason=e.detail)
            self.problem = f"partitions for samples cannot be made: {e.detail}"
        else:
            self.problem = ""

    async def roll_up(self, now: datetime) -> None:
        """Every whole minute that has passed and whose samples are all written. Raises DatabaseUnavailable."""
        until = (now - _SETTLED).replace(second=0, microsecond=0)
        waits = self.waiting.first(1)
        if waits:
            until = min(until, waits[0].time.replace(second=0, microsecond=0))
        if self.rolled_to is None or self.rolled_to > now + MINUTE:  # the clock was ahead for a while
            self.rolled_to = await self._database.run(lambda c: self._unrolled(c, until), read_only=True)
        begin = self.rolled_to
        while begin is not None and begin < until:
            end = min(until, begin + _AT_ONCE)

            async def work(connection: Connection, begin: datetime = begin, end: datetime = end) -> None:
                await repository.make_partitions(connection, begin, end)
                await repository.roll_up(connection, begin, end)

            await self._database.run(work, timeout_s=_MAINTENANCE_TIMEOUT_S)
            self.rolled_to = begin = end

    async def _unrolled(self, connection: Connection, until: datetime) -> datetime | None:
        """Where rolling up has to begin; None: there is nothing yet."""
        last = await repository.last_minute(connection, FLEET, until)
        first = await repository.first_sample(connection, FLEET) if last is None else last + MINUTE
        # Of what is older no samples are left, and partitions for a year of nothing could never be dropped again.
        return max(first, until - self.samples_kept).replace(second=0, microsecond=0) if first else None

    async def forget(self, now: datetime) -> int:
        """Drop what is older than it is kept. Returns how many partitions went. Raises DatabaseUnavailable."""
        return await self._database.run(
            lambda connection: repository.drop_partitions(connection, now - self.samples_kept, now - self.minutes_kept),
            timeout_s=_MAINTENANCE_TIMEOUT_S,
        )


def _chunk(host_id: str, time: datetime, host: HostSample, vms: list[tuple[str, VMSample]]) -> Chunk:
    """A round of a host: a row for each VM and one for itself."""
    rows = [(vm_subject(host_id, vm_id), numbers_of(sample)) for vm_id, sample in vms]
    own = (host.cpu_cores, host.cpu_percent, host.memory_used_bytes, host.memory_bytes)
    return _packed(time, [*rows, (host_subject(host_id), (*own, *[None] * (len(METRICS) - len(own))))])


def _packed(time: datetime, rows: list[tuple[bytes, tuple[float | None, ...]]]) -> Chunk:
    at = copy_rows.microseconds(time)
    return Chunk(time, len(rows), b"".join(copy_rows.row(at, subject, numbers) for subject, numbers in rows))


def numbers_of(sample: VMSample | UsageTotals) -> tuple[float | None, ...]:
    """A sample's numbers in the order of its row."""
    return (
        sample.cpu_cores,
        sample.cpu_percent,
        sample.memory_used_bytes,
        sample.memory_given_bytes,
        sample.disk_read_bytes_s,
        sample.disk_write_bytes_s,
        sample.disk_reads_s,
        sample.disk_writes_s,
        sample.net_received_bytes_s,
        sample.net_sent_bytes_s,
    )
