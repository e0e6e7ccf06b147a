"""Curves: which step, which rows, and that a gap stays a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from novacron_core import errors
from novacron_core.api import metrics as api
from novacron_core.rules.permissions import Role
from novacron_core.rules.visibility import Principal
from novacron_server.metrics.packing import FLEET, tenant_subject
from novacron_server.metrics.past import Past, curves
from tests.server.metrics.conftest import NOW

S = timedelta(seconds=1)
ANN = Principal("1", "ann", Role.ADMINISTRATOR, "default", "s", NOW)
BOB = Principal("2", "bob", Role.OPERATOR, "red", "s", NOW)
CPU = api.Metric.CPU_PERCENT


@pytest.fixture
def past(database, history) -> Past:
    return Past(database, history._inventory, history._board, history)


def asked(start: datetime, end: datetime, points: int, **more) -> api.HistoryQuery:
    return api.HistoryQuery(from_=start, to=end, points=points, **more)


async def test_the_last_hour_is_made_of_samples(past, history, add) -> None:
    end = NOW.replace(second=0)
    for number in range(720):
        add(FLEET, end - timedelta(hours=1) + number * 5 * S, float(number % 12))
    await history.write()
    found = await past.of(ANN, asked(end - timedelta(hours=1), end, 120))
    assert (found.source, found.points, found.step_s, found.start) == ("samples", 120, 30.0, end - timedelta(hours=1))
    line = found.curves[CPU]
    assert line.average == [2.5, 8.5] * 60
    assert (line.most, line.least) == ([5.0, 11.0] * 60, [0.0, 6.0] * 60)
    assert found.age_s is not None


async def test_a_day_is_made_of_minutes_and_of_the_samples_that_are_not_rolled_up_yet(past, history, add) -> None:
    end = NOW.replace(second=0)
    for number in range(24 * 60):
        add(FLEET, end - timedelta(minutes=number), 1.0 if number > 3 else 5.0)
    await history.write()
    history.rolled_to = None
    await history.roll_up(end - timedelta(minutes=3))
    found = await past.of(ANN, asked(end - timedelta(hours=24), end + S, 200))
    line = found.curves[CPU].average
    assert (found.source, found.step_s % 60, len(line)) == ("minutes", 0.0, found.points)
    assert (line[0], line[-1] > 1.0, None in line[1:]) == (1.0, True, False)
    assert max(found.curves[CPU].most[-2:]) == 5.0


async def test_where_nothing_was_kept_there_is_null_and_no_zero(past, history, add) -> None:
    end = NOW.replace(second=0)
    for number in range(120):
        if not 40 <= number < 60:  # the database, or the host, was away for twenty minutes
            add(FLEET, end - timedelta(minutes=120 - number), 7.0)
    await history.write()
    await history.roll_up(NOW)
    line = (await past.of(ANN, asked(end - timedelta(hours=2), end, 120))).curves[CPU].average
    assert [number for number, value in enumerate(line) if value is None] == list(range(40, 60))


def rows(*seconds: float, step_s: float = 5.0):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    return [(s // step_s, begin + s * S, begin + s * S, s, s, s) for s in seconds]


def test_a_reading_that_came_late_is_no_gap_and_a_missing_one_is() -> None:
    line = curves(rows(0.1, 5.0, 10.2, 20.3, 25.0, 60.0), [CPU], 14, apart_s=20)[CPU].average
    assert line == [0.1, 5.0, 10.2, 10.2, 20.3, 25.0, None, None, None, None, None, None, 60.0, None]


def test_rows_out_of_range_are_left_out() -> None:
    assert curves(rows(-5.0, 0.0, 500.0), [CPU], 2, apart_s=20)[CPU].average == [0.0, None]


async def test_members_see_the_sum_over_their_own_vms_alone(past, history, add) -> None:
    add(FLEET, NOW, 90.0)
    add(tenant_subject("red"), NOW, 5.0)
    add(tenant_subject("blue"), NOW, 50.0)
    await history.write()
    seen = [
        [value for value in (await past.of(who, asked(NOW - 60 * S, NOW + S, 1))).curves[CPU].average if value]
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
        (api.HistoryQuery(subject="vm"), "subject"),
        (api.HistoryQuery(subject="moon:1"), "subject"),
        (api.HistoryQuery(metric="beauty"), "metric"),
        (api.HistoryQuery(metric="cpu_cores,"), "metric"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_field(past, query, field) -> None:
    with pytest.raises(errors.ValidationFailed) as refused:
        await past.of(ANN, query)
    assert refused.value.fields[0].field == field


@pytest.mark.parametrize("points", [1, 2, 7, 120, api.MAX_POINTS])
@pytest.mark.parametrize("span", [S, timedelta(minutes=5), timedelta(hours=1), timedelta(days=1), timedelta(days=366)])
async def test_the_answer_is_bounded_whatever_the_range(past, points, span) -> None:
    found = await past.of(ANN, asked(NOW - span, NOW, points, metric="cpu_percent,disk_reads_s"))
    assert 1 <= found.points <= points
    assert {len(curve.average) for curve in found.curves.values()} == {found.points}
    assert found.start + timedelta(seconds=found.step_s * found.points) >= NOW, "the newest is part of it"
    assert found.curves["disk_reads_s"].least == []
