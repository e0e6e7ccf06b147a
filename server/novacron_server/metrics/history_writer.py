"""Writes samples to the database: copies them in batches, rolls them up per minute, and drops old partitions.

While the database is unavailable, samples are queued in limited memory and nothing waits for them. Dropped samples
leave a gap in the history.
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
"""How long in advance partitions are created; a failure is reported as a health problem."""
_MAX_AGE = timedelta(days=1)
"""A sample whose time differs more than this from now (a clock was changed) is dropped."""
_ROLL_UP_DELAY = timedelta(seconds=10)
_MAX_ROLL_UP = timedelta(minutes=10)
_COPY_BYTES = 4 << 20
_MAINTENANCE_TIMEOUT_S = 30.0


class HistoryWriter:
    """Stores each new sample. `rolled_to` is the end of the rolled-up minutes, `problem` why partitions are missing."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        latest: LatestSamples,
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
        self._latest = latest
        self._hours: set[datetime] = set()
        self._rounds: list[tuple[str, datetime, HostSample, list[tuple[str, VMSample]]]] = []
        self._database_down = False
        latest.read.listen(self._record_host)

    # -- recording ---------------------------------------------------------------------------------------------------

    def _record_host(self, host_id: str) -> None:
        host = self._latest.hosts[host_id]
        if host.time is not None:
            vms = [(vm_id, vm.sample) for vm_id, vm in host.vms.items()]
            self._rounds.append((host_id, host.time, host.sample, vms))

    def record_totals(self, now: datetime) -> None:
        """Queue the current totals of the fleet and of each tenant's VMs."""
        by_tenant: dict[str | None, list[tuple[VMSample, int]]] = {}
        for vm in self._inventory.state.vms():
            if sample := self._latest.sample(vm.host, vm.id):
                by_tenant.setdefault(vm.tenant, []).append((sample, vm.vcpus))
        everything = total(pair for pairs in by_tenant.values() for pair in pairs)
        rows = [(tenant_subject(tenant), values_of(total(pairs))) for tenant, pairs in by_tenant.items() if tenant]
        self.waiting.add(_packed(now, [(FLEET, values_of(everything)), *rows]))

    async def pack(self) -> None:
        """Queue the samples received since the last call for the database, in packed form."""
        rounds, self._rounds = self._rounds, []
        for chunk in await asyncio.to_thread(lambda: [_chunk(*each) for each in rounds]):
            self.waiting.add(chunk)

    # -- writing -----------------------------------------------------------------------------------------------------

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """The background tasks, as (name, coroutine function) pairs."""
        return [("metrics history", self._write_loop), ("metrics retention", self._maintenance_loop)]

    async def _write_loop(self) -> None:
        while True:
            await asyncio.sleep(WRITE_S)
            await self.pack()
            self.record_totals(datetime.now(UTC))
            try:
                await self.write()
            except errors.NovaCronError as e:
                log = _log.debug if self._database_down else _log.warning
                log("samples are queued: the database is unavailable", rows=self.waiting.rows, reason=e.detail)
                self._database_down = True
            else:
                self._database_down = False

    async def write(self) -> None:
        """Write all queued samples. Raises DatabaseUnavailable; samples not written stay queued."""
        while chunks := self.waiting.peek(_COPY_BYTES):
            now = datetime.now(UTC)
            valid = [chunk for chunk in chunks if abs(now - chunk.time) < _MAX_AGE]
            await self._ensure_partitions(valid)

            async def work(connection: Connection, valid: list[Chunk] = valid) -> None:
                await repository.copy(connection, (chunk.data for chunk in valid))

            if valid:
                await self._copy(work)
            self.written += sum(chunk.rows for chunk in valid)
            self.waiting.lost += sum(chunk.rows for chunk in chunks) - sum(chunk.rows for chunk in valid)
            self.waiting.remove_written(chunks)

    async def _copy(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        try:
            await self._database.run(work)
        except errors.NovaCronError:
            self._hours.clear()  # partitions may have been dropped: a clock change, or a long database outage
            raise

    async def _ensure_partitions(self, chunks: list[Chunk]) -> None:
        """Create the partitions for these samples. They are missing only after a clock change or a long outage."""
        hours = {chunk.time.replace(minute=0, second=0, microsecond=0) for chunk in chunks}
        if hours <= self._hours:
            return
        await self._database.run(
            lambda connection: repository.make_partitions(connection, min(hours), max(hours)),
            timeout_s=_MAINTENANCE_TIMEOUT_S,
        )
        self._hours |= hours

    # -- maintenance -------------------------------------------------------------------------------------------------

    async def _maintenance_loop(self) -> None:
        clock = GuardedClock()
        while True:
            now = datetime.now(UTC)
            await self.make_partitions(now)
            try:
                await self.roll_up(now)
                await self.drop_expired(clock.now())
            except errors.NovaCronError as e:
                _log.warning("rolling up samples is delayed", reason=e.detail)
            await asyncio.sleep(60.0 - datetime.now(UTC).second % 60 + _ROLL_UP_DELAY.total_seconds())

    async def make_partitions(self, now: datetime) -> None:
        """Create the partitions of the next hours. Never raises: a failure sets `problem`, for the health check."""
        try:
            await self._database.run(
                lambda connection: repository.make_partitions(connection, now, now + AHEAD),
                timeout_s=_MAINTENANCE_TIMEOUT_S,
            )
        except errors.NovaCronError as e:
            if not self.problem:
                _log.error("cannot create partitions for samples ahead", reason=e.detail)
            self.problem = f"cannot create partitions for samples: {e.detail}"
        else:
            self.problem = ""

    async def roll_up(self, now: datetime) -> None:
        """Roll up every past minute whose samples are all written. Raises DatabaseUnavailable."""
        until = (now - _ROLL_UP_DELAY).replace(second=0, microsecond=0)
        oldest = self.waiting.peek(1)
        if oldest:
            until = min(until, oldest[0].time.replace(second=0, microsecond=0))
        if self.rolled_to is None or self.rolled_to > now + MINUTE:  # the clock was temporarily ahead
            self.rolled_to = await self._database.run(lambda c: self._roll_up_start(c, until), read_only=True)
        begin = self.rolled_to
        while begin is not None and begin < until:
            end = min(until, begin + _MAX_ROLL_UP)

            async def work(connection: Connection, begin: datetime = begin, end: datetime = end) -> None:
                await repository.make_partitions(connection, begin, end)
                await repository.roll_up(connection, begin, end)

            await self._database.run(work, timeout_s=_MAINTENANCE_TIMEOUT_S)
            self.rolled_to = begin = end

    async def _roll_up_start(self, connection: Connection, until: datetime) -> datetime | None:
        """The minute at which to start rolling up; None if there are no samples yet."""
        last = await repository.last_minute(connection, FLEET, until)
        first = await repository.first_sample(connection, FLEET) if last is None else last + MINUTE
        # Older samples no longer exist, and partitions for long empty periods could never be dropped again.
        return max(first, until - self.samples_kept).replace(second=0, microsecond=0) if first else None

    async def drop_expired(self, now: datetime) -> int:
        """Drop partitions that exceed their retention. Returns how many were dropped. Raises DatabaseUnavailable."""
        return await self._database.run(
            lambda connection: repository.drop_partitions(connection, now - self.samples_kept, now - self.minutes_kept),
            timeout_s=_MAINTENANCE_TIMEOUT_S,
        )


def _chunk(host_id: str, time: datetime, host: HostSample, vms: list[tuple[str, VMSample]]) -> Chunk:
    """Pack one read of a host: a row for each VM and one for the host."""
    rows = [(vm_subject(host_id, vm_id), values_of(sample)) for vm_id, sample in vms]
    own = (host.cpu_cores, host.cpu_percent, host.memory_used_bytes, host.memory_bytes)
    return _packed(time, [*rows, (host_subject(host_id), (*own, *[None] * (len(METRICS) - len(own))))])


def _packed(time: datetime, rows: list[tuple[bytes, tuple[float | None, ...]]]) -> Chunk:
    at = copy_rows.microseconds(time)
    return Chunk(time, len(rows), b"".join(copy_rows.row(at, subject, values) for subject, values in rows))


def values_of(sample: VMSample | UsageTotals) -> tuple[float | None, ...]:
    """A sample's values in the order of METRICS."""
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
