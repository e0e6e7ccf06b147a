"""Metrics over time, for authorized readers: selects the rows for a query and computes the curves of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from novacron_core import errors
from novacron_core.api import history
from novacron_core.api.problem import FieldError
from novacron_core.rules.visibility import Principal, may, may_see_all
from novacron_core.values.roles import Permission, Role
from novacron_server.database.tables import METRICS_WITH_LEAST
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics import repository
from novacron_server.metrics.collector import QUICK_S
from novacron_server.metrics.copy_rows import FLEET, host_subject, tenant_subject, vm_subject
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.latest import LatestSamples

_MINUTE_S = 60.0
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MAX_RANGE = timedelta(days=history.MAX_RANGE_DAYS)
_MAX_GAP_S = 20.0
"""Samples no further apart than this, or three polling intervals, are connected; otherwise there is a gap."""


class HistoryQueries:
    """Queries the history that `HistoryWriter` stores."""

    def __init__(self, database: Database, inventory: Inventory, latest: LatestSamples, history: HistoryWriter) -> None:
        self._database = database
        self._inventory = inventory
        self._latest = latest
        self._history = history

    async def query_vm(self, principal: Principal, vm_id: str, query: history.RangeQuery) -> history.History:
        """All metrics of one VM. Raises NotFound, ValidationFailed, DatabaseUnavailable."""
        vm = self._inventory.vm(principal, vm_id)
        return await self._curves(f"vm:{vm.id}", vm_subject(vm.host, vm.id), list(history.Metric), query)

    async def query(self, principal: Principal, query: history.HistoryQuery) -> history.History:
        """Some metrics of the fleet, a host or a VM. Raises NotFound, ValidationFailed, DatabaseUnavailable."""
        metrics = _metrics(query.metric)
        return await self._curves(query.subject, self._subject(principal, query.subject), metrics, query)

    def _subject(self, principal: Principal, subject: str) -> bytes:
        kind, _, name = subject.partition(":")
        if subject == "fleet":
            if not may_see_all(principal, principal.tenant):
                raise errors.NotFound("this API token is limited to some VMs: ask for vm:ID")
            return FLEET if principal.role is Role.ADMINISTRATOR else tenant_subject(principal.tenant)
        if kind == "vm" and name:
            vm = self._inventory.vm(principal, name)
            return vm_subject(vm.host, vm.id)
        if kind == "host" and name:
            if may(principal, Permission.HOST_READ) and name in self._inventory.state.views:
                return host_subject(name)
            raise errors.NotFound("host not found")
        raise _invalid("subject", "must be fleet, host:ID or vm:ID")

    async def _curves(
        self,
        name: str,
        subject: bytes,
        metrics: Sequence[history.Metric],
        query: history.RangeQuery | history.HistoryQuery,
    ) -> history.History:
        now = datetime.now(UTC)
        start, end = _range(query.from_, query.to, now)
        wanted_s = (end - start).total_seconds() / query.points
        rolled = wanted_s >= _MINUTE_S or start < now - self._history.samples_kept
        least_s = _MINUTE_S if rolled else QUICK_S
        step_s = math.ceil(wanted_s / least_s) * least_s if rolled else max(wanted_s, least_s)
        # Steps are aligned to fixed times, independent of the query, so that a curve keeps its shape over time.
        last = math.ceil(end.timestamp() / step_s) * step_s
        points = min(query.points, math.ceil((last - start.timestamp()) / step_s))
        begin = datetime.fromtimestamp(last - points * step_s, UTC)
        rolled_to = (self._history.rolled_to or begin) if rolled else None

        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            until = datetime.fromtimestamp(last, UTC)
            return await repository.slots(connection, subject, tuple(metrics), begin, until, step_s, rolled_to)

        rows = await self._database.run(work, read_only=True)
        max_gap_s = _MINUTE_S if rolled else max(_MAX_GAP_S, 3 * self._slowest_period_s())
        newest = max((row[2] for row in rows if any(value is not None for value in row[3:])), default=None)
        return history.History(
            subject=name,
            start=begin,
            step_s=step_s,
            points=points,
            source="minutes" if rolled else "samples",
            curves=curves(rows, metrics, points, max_gap_s),
            age_s=None if newest is None else round(max(0.0, (now - newest).total_seconds()), 1),
        )

    def _slowest_period_s(self) -> float:
        return max((host.period_s for host in self._latest.hosts.values()), default=0.0)


def curves(
    rows: Sequence[tuple[Any, ...]], metrics: Sequence[history.Metric], points: int, max_gap_s: float
) -> dict[str, history.Curve]:
    """Rows of `repository.slots` as curves. An empty step between two samples at most `max_gap_s` apart gets the
    earlier sample's values, so that a slightly late reading makes no gap.
    """
    row_of = _row_of_each_step(rows, points, max_gap_s)
    with_least = [metric for metric in metrics if metric in METRICS_WITH_LEAST]
    columns = iter(zip(*rows, strict=True) if rows else [()] * (3 + 2 * len(metrics) + len(with_least)))
    lines = [_line(column, row_of) for column in islice(columns, 3, None)]
    pairs, minima = lines[: 2 * len(metrics)], dict(zip(with_least, lines[2 * len(metrics) :], strict=True))
    return {
        metric.value: history.Curve(average=average, max=maximum, min=minima.get(metric, []))
        for metric, average, maximum in zip(metrics, pairs[::2], pairs[1::2], strict=True)
    }


def _row_of_each_step(rows: Sequence[tuple[Any, ...]], points: int, max_gap_s: float) -> list[int]:
    """For each step the index of its row, -1 for none."""
    row_of = [-1] * points
    before = -1
    for index, row in enumerate(rows):
        slot = int(row[0])
        if not 0 <= slot < points:
            continue
        if before >= 0 and (row[1] - rows[before][2]).total_seconds() <= max_gap_s:
            last = int(rows[before][0])
            row_of[last + 1 : slot] = [before] * (slot - last - 1)
        row_of[slot] = before = index
    return row_of


def _line(column: Sequence[float | None], row_of: Sequence[int]) -> list[float | None]:
    values = [None if value is None else round(value, 3) for value in column]
    return [values[index] if index >= 0 else None for index in row_of]


def _range(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """The queried range. Raises ValidationFailed if it is invalid or too long."""
    for name, given in (("from", start), ("to", end)):
        # Checked before any arithmetic, which would overflow at the limits of datetime.
        if given is not None and not _EARLIEST <= given <= now + _DAY:
            raise _invalid(name, "no data is kept for that time")
    last = end or (now if start is None or start < now else start + _HOUR)
    first = start or last - _HOUR
    if first >= last:
        raise _invalid("from", "must be before to")
    if last - first > _MAX_RANGE:
        raise _invalid("from", f"the range must be at most {history.MAX_RANGE_DAYS} days")
    return first, last


def _metrics(names: str) -> list[history.Metric]:
    found = []
    for name in names.split(","):
        if name not in history.Metric._value2member_map_:
            raise _invalid("metric", f"must be one or several, separated by commas, of {', '.join(history.Metric)}")
        found.append(history.Metric(name))
    return list(dict.fromkeys(found))


def _invalid(field: str, message: str) -> errors.ValidationFailed:
    return errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])
