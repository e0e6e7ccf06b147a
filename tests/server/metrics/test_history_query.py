"""History queries: steps, sources, gaps and permissions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import history
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from novacron_server.metrics import copy_rows
from novacron_server.metrics import history_query as past_module
from novacron_server.metrics import history_writer as history_module
from novacron_server.metrics.copy_rows import FLEET, tenant_subject
from novacron_server.metrics.history_query import HistoryQueries, curves
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.write_queue import WriteQueue
from tests.support.metrics import NOW

S = timedelta(seconds=1)
ANN = Principal("1", "ann", Role.ADMINISTRATOR, "default", "s", NOW)
BOB = Principal("2", "bob", Role.OPERATOR, "red", "s", NOW)
CPU = history.Metric.CPU_PERCENT


@pytest.fixture
def queries(database: Database, history: HistoryWriter) -> HistoryQueries:
    return HistoryQueries(database, history._inventory, history._latest, history)


def range_query(start: datetime, end: datetime, points: int, **more: Any) -> history.HistoryQuery:
    return history.HistoryQuery(from_=start, to=end, points=points, **more)


async def test_last_hour_comes_from_samples(
    queries: HistoryQueries, history: HistoryWriter, add: Callable[..., None]
) -> None:
    end = NOW.replace(second=0)
    for number in range(720):
        add(FLEET, end - timedelta(hours=1) + number * 5 * S, float(number % 12))
    await history.write()
    found = await queries.query(ANN, range_query(end - timedelta(hours=1), end, 120))
    assert (found.source, found.points, found.step_s, found.start) == ("samples", 120, 30.0, end - timedelta(hours=1))
    line = found.curves[CPU]
    assert line.average == [2.5, 8.5] * 60
    assert (line.max, line.min) == ([5.0, 11.0] * 60, [0.0, 6.0] * 60)
    assert found.age_s is not None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the clock for writing, rolling up and querying samples."""

    def at(moment: datetime) -> None:
        class ShiftedClock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return moment

        for module in (history_module, past_module):
            monkeypatch.setattr(module, "datetime", ShiftedClock)

    return at


DAY = NOW.replace(hour=0, minute=0, second=0)


@pytest.mark.parametrize(
    "moment",
    [
        *(DAY + timedelta(hours=13, minutes=minute, seconds=30) for minute in range(8)),  # every offset within a step
        *(DAY + timedelta(seconds=second) for second in (-30, 0, 1)),  # midnight
        *(DAY + timedelta(hours=5, seconds=second) for second in (-1, 0, 59)),  # a full hour
    ],
    ids=lambda moment: f"{moment:%H:%M:%S}",
)
async def test_long_range_combines_minutes_and_newer_samples(
    queries: HistoryQueries,
    history: HistoryWriter,
    add: Callable[..., None],
    clock: Callable[[datetime], None],
    moment: datetime,
) -> None:
    clock(moment)
    end, length = moment.replace(second=0), timedelta(hours=4)
    for number in range(4 * 60 + 1):
        add(FLEET, end - timedelta(minutes=number), 1.0 if number > 3 else 5.0)
    await history.write()
    assert history.waiting.lost == 0
    await history.roll_up(end - timedelta(minutes=3))
    found = await queries.query(ANN, range_query(end - length, end + S, 31))
    line = found.curves[CPU].average
    assert (found.source, found.step_s % 60, len(line)) == ("minutes", 0.0, found.points)
    assert None not in line
    numbers = [value for value in line if value is not None]
    assert (numbers[0], numbers[-1] > 1.0) == (1.0, True)
    highest = [value for value in found.curves[CPU].max[-2:] if value is not None]
    assert (len(highest), max(highest)) == (2, 5.0)


async def test_missing_samples_are_null_and_not_zero(
    queries: HistoryQueries, history: HistoryWriter, add: Callable[..., None]
) -> None:
    end = NOW.replace(second=0)
    for number in range(120):
        if not 40 <= number < 60:  # the database or the host was unavailable for twenty minutes
            add(FLEET, end - timedelta(minutes=120 - number), 7.0)
    await history.write()
    await history.roll_up(NOW)
    line = (await queries.query(ANN, range_query(end - timedelta(hours=2), end, 120))).curves[CPU].average
    assert [number for number, value in enumerate(line) if value is None] == list(range(40, 60))


async def test_age_is_that_of_the_newest_value(
    queries: HistoryQueries, history: HistoryWriter, add: Callable[..., None], clock: Callable[[datetime], None]
) -> None:
    clock(NOW)
    add(FLEET, NOW - timedelta(minutes=10), 7.0)
    for number in range(9):  # the host does not respond
        add(FLEET, NOW - timedelta(minutes=number), None)
    await history.write()
    found = await queries.query(ANN, range_query(NOW - timedelta(hours=1), NOW, 120))
    assert found.age_s == 600.0
    assert (await queries.query(ANN, range_query(NOW - timedelta(minutes=5), NOW, 10))).age_s is None


async def test_samples_dropped_during_an_outage_leave_a_gap(
    queries: HistoryQueries, history: HistoryWriter, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue keeps what its limit allows; the oldest samples are dropped and null in the curve."""
    row = len(copy_rows.row(0, FLEET, (None, 1.0, None, *[None] * 7)))
    history.waiting = WriteQueue(max_bytes=6 * row)
    begin = NOW.replace(second=0) - timedelta(minutes=2)
    add(FLEET, begin, 7.0)
    await history.write()

    async def unavailable(*_: Any, **__: Any) -> Any:
        raise errors.DatabaseUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", unavailable)
        for number in range(1, 13):
            add(FLEET, begin + number * 5 * S, 7.0)
            with pytest.raises(errors.DatabaseUnavailable):
                await history.write()
            assert history.waiting.bytes <= 6 * row
    await history.write()
    assert (history.waiting.lost, history.waiting.bytes) == (6, 0)
    line = (await queries.query(ANN, range_query(begin, begin + 65 * S, 13))).curves[CPU].average
    assert line == [7.0, *[None] * 6, *[7.0] * 6]


def rows(*seconds: float, step_s: float = 5.0) -> list[tuple[Any, ...]]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return [(s // step_s, begin + s * S, begin + s * S, s, s, s) for s in seconds]


def test_late_reading_makes_no_gap_but_a_missing_one_does() -> None:
    line = curves(rows(0.1, 5.0, 10.2, 20.3, 25.0, 60.0), [CPU], 14, max_gap_s=20)[CPU].average
    assert line == [0.1, 5.0, 10.2, 10.2, 20.3, 25.0, None, None, None, None, None, None, 60.0, None]


def test_rows_out_of_range_are_ignored() -> None:
    assert curves(rows(-5.0, 0.0, 500.0), [CPU], 2, max_gap_s=20)[CPU].average == [0.0, None]


async def test_fleet_history_of_a_member_covers_only_its_tenant(
    queries: HistoryQueries, history: HistoryWriter, add: Callable[..., None]
) -> None:
    add(FLEET, NOW, 90.0)
    add(tenant_subject("red"), NOW, 5.0)
    add(tenant_subject("blue"), NOW, 50.0)
    await history.write()
    seen = [
        [
            value
            for value in (await queries.query(who, range_query(NOW - 60 * S, NOW + S, 1))).curves[CPU].average
            if value
        ]
        for who in (ANN, BOB)
    ]
    assert seen == [[90.0], [5.0]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (range_query(NOW, NOW - S, 10), "from"),
        (range_query(NOW, NOW, 10), "from"),
        (range_query(NOW - timedelta(days=3660), NOW, 10), "from"),
        (range_query(datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC) + S, 10), "from"),
        (range_query(datetime.max.replace(tzinfo=UTC) - S, datetime.max.replace(tzinfo=UTC), 10), "from"),
        (history.HistoryQuery(subject="vm"), "subject"),
        (history.HistoryQuery(subject="moon:1"), "subject"),
        (history.HistoryQuery(metric="beauty"), "metric"),
        (history.HistoryQuery(metric="cpu_cores,"), "metric"),
    ],
)
async def test_invalid_query_is_refused_with_its_field(
    queries: HistoryQueries, query: history.HistoryQuery, field: str
) -> None:
    with pytest.raises(errors.ValidationFailed) as refused:
        await queries.query(ANN, query)
    assert refused.value.fields[0].field == field


@pytest.mark.parametrize("points", [1, 2, 7, 120, history.MAX_POINTS])
@pytest.mark.parametrize("span", [S, timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=366)])
async def test_number_of_points_is_limited_for_any_range(queries: HistoryQueries, points: int, span: timedelta) -> None:
    found = await queries.query(ANN, range_query(NOW - span, NOW, points, metric="cpu_percent,disk_reads_s"))
    assert 1 <= found.points <= points
    assert {len(curve.average) for curve in found.curves.values()} == {found.points}
    assert found.start + timedelta(seconds=found.step_s * found.points) >= NOW, "the newest sample is included"
    assert found.curves["disk_reads_s"].min == []
