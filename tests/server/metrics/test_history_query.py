"""Curves: which step, which rows, and that a gap stays a gap."""

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
def past(database: Database, history: HistoryWriter) -> HistoryQueries:
    return HistoryQueries(database, history._inventory, history._latest, history)


def asked(start: datetime, end: datetime, points: int, **more: Any) -> history.HistoryQuery:
    return history.HistoryQuery(from_=start, to=end, points=points, **more)


async def test_the_last_hour_is_made_of_samples(
    past: HistoryQueries, history: HistoryWriter, add: Callable[..., None]
) -> None:
    end = NOW.replace(second=0)
    for number in range(720):
        add(FLEET, end - timedelta(hours=1) + number * 5 * S, float(number % 12))
    await history.write()
    found = await past.query(ANN, asked(end - timedelta(hours=1), end, 120))
    assert (found.source, found.points, found.step_s, found.start) == ("samples", 120, 30.0, end - timedelta(hours=1))
    line = found.curves[CPU]
    assert line.average == [2.5, 8.5] * 60
    assert (line.max, line.min) == ([5.0, 11.0] * 60, [0.0, 6.0] * 60)
    assert found.age_s is not None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the clock by which samples are written, rolled up and asked for."""

    def at(moment: datetime) -> None:
        class Set(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return moment

        for module in (history_module, past_module):
            monkeypatch.setattr(module, "datetime", Set)

    return at


DAY = NOW.replace(hour=0, minute=0, second=0)


@pytest.mark.parametrize(
    "moment",
    [
        *(DAY + timedelta(hours=13, minutes=minute, seconds=30) for minute in range(8)),  # each place within a step
        *(DAY + timedelta(seconds=second) for second in (-30, 0, 1)),  # the turn of a day
        *(DAY + timedelta(hours=5, seconds=second) for second in (-1, 0, 59)),  # the turn of an hour
    ],
    ids=lambda moment: f"{moment:%H:%M:%S}",
)
async def test_a_long_range_is_made_of_minutes_and_of_the_samples_that_are_not_rolled_up_yet(
    past: HistoryQueries,
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
    found = await past.query(ANN, asked(end - length, end + S, 31))
    line = found.curves[CPU].average
    assert (found.source, found.step_s % 60, len(line)) == ("minutes", 0.0, found.points)
    assert None not in line
    numbers = [value for value in line if value is not None]
    assert (numbers[0], numbers[-1] > 1.0) == (1.0, True)
    highest = [value for value in found.curves[CPU].max[-2:] if value is not None]
    assert (len(highest), max(highest)) == (2, 5.0)


async def test_where_nothing_was_kept_there_is_null_and_no_zero(
    past: HistoryQueries, history: HistoryWriter, add: Callable[..., None]
) -> None:
    end = NOW.replace(second=0)
    for number in range(120):
        if not 40 <= number < 60:  # the database, or the host, was away for twenty minutes
            add(FLEET, end - timedelta(minutes=120 - number), 7.0)
    await history.write()
    await history.roll_up(NOW)
    line = (await past.query(ANN, asked(end - timedelta(hours=2), end, 120))).curves[CPU].average
    assert [number for number, value in enumerate(line) if value is None] == list(range(40, 60))


async def test_the_age_is_that_of_the_newest_number_and_not_of_the_newest_silence(
    past: HistoryQueries, history: HistoryWriter, add: Callable[..., None], clock: Callable[[datetime], None]
) -> None:
    clock(NOW)
    add(FLEET, NOW - timedelta(minutes=10), 7.0)
    for number in range(9):  # the host does not answer
        add(FLEET, NOW - timedelta(minutes=number), None)
    await history.write()
    found = await past.query(ANN, asked(NOW - timedelta(hours=1), NOW, 120))
    assert found.age_s == 600.0
    assert (await past.query(ANN, asked(NOW - timedelta(minutes=5), NOW, 10))).age_s is None


async def test_after_a_minute_without_the_database_what_fits_is_there_and_the_rest_is_a_gap(
    past: HistoryQueries, history: HistoryWriter, add: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds what its bound says and no more; the oldest goes, and is null in the curve."""
    row = len(copy_rows.row(0, FLEET, (None, 1.0, None, *[None] * 7)))
    history.waiting = WriteQueue(max_bytes=6 * row)
    begin = NOW.replace(second=0) - timedelta(minutes=2)
    add(FLEET, begin, 7.0)
    await history.write()

    async def away(*_: Any, **__: Any) -> Any:
        raise errors.DatabaseUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", away)
        for number in range(1, 13):
            add(FLEET, begin + number * 5 * S, 7.0)
            with pytest.raises(errors.DatabaseUnavailable):
                await history.write()
            assert history.waiting.bytes <= 6 * row
    await history.write()
    assert (history.waiting.lost, history.waiting.bytes) == (6, 0)
    line = (await past.query(ANN, asked(begin, begin + 65 * S, 13))).curves[CPU].average
    assert line == [7.0, *[None] * 6, *[7.0] * 6]


def rows(*seconds: float, step_s: float = 5.0) -> list[tuple[Any, ...]]:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return [(s // step_s, begin + s * S, begin + s * S, s, s, s) for s in seconds]


def test_a_reading_that_came_late_is_no_gap_and_a_missing_one_is() -> None:
    line = curves(rows(0.1, 5.0, 10.2, 20.3, 25.0, 60.0), [CPU], 14, max_gap_s=20)[CPU].average
    assert line == [0.1, 5.0, 10.2, 10.2, 20.3, 25.0, None, None, None, None, None, None, 60.0, None]


def test_rows_out_of_range_are_left_out() -> None:
    assert curves(rows(-5.0, 0.0, 500.0), [CPU], 2, max_gap_s=20)[CPU].average == [0.0, None]


async def test_members_see_the_sum_over_their_own_vms_alone(
    past: HistoryQueries, history: HistoryWriter, add: Callable[..., None]
) -> None:
    add(FLEET, NOW, 90.0)
    add(tenant_subject("red"), NOW, 5.0)
    add(tenant_subject("blue"), NOW, 50.0)
    await history.write()
    seen = [
        [value for value in (await past.query(who, asked(NOW - 60 * S, NOW + S, 1))).curves[CPU].average if value]
        for who in (ANN, BOB)
    ]
    assert seen == [[90.0], [5.0]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (asked(NOW, NOW - S, 10), "from"),
        (asked(NOW, NOW, 10), "from"),
        (asked(NOW - timedelta(days=3660), NOW, 10), "from"),
        (asked(datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC) + S, 10), "from"),
        (asked(datetime.max.replace(tzinfo=UTC) - S, datetime.max.replace(tzinfo=UTC), 10), "from"),
        (history.HistoryQuery(subject="vm"), "subject"),
        (history.HistoryQuery(subject="moon:1"), "subject"),
        (history.HistoryQuery(metric="beauty"), "metric"),
        (history.HistoryQuery(metric="cpu_cores,"), "metric"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field(
    past: HistoryQueries, query: history.HistoryQuery, field: str
) -> None:
    with pytest.raises(errors.ValidationFailed) as refused:
        await past.query(ANN, query)
    assert refused.value.fields[0].field == field


@pytest.mark.parametrize("points", [1, 2, 7, 120, history.MAX_POINTS])
@pytest.mark.parametrize("span", [S, timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=366)])
async def test_the_answer_is_bounded_whatever_the_range(past: HistoryQueries, points: int, span: timedelta) -> None:
    found = await past.query(ANN, asked(NOW - span, NOW, points, metric="cpu_percent,disk_reads_s"))
    assert 1 <= found.points <= points
    assert {len(curve.average) for curve in found.curves.values()} == {found.points}
    assert found.start + timedelta(seconds=found.step_s * found.points) >= NOW, "the newest is part of it"
    assert found.curves["disk_reads_s"].min == []
