"""The hours of a volume as curves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from novacron_core.api.tiering import VolumeHeat
from novacron_server.tiering.book import MEASURES
from novacron_server.tiering.history import StoredDay, history

DAY = 20_000
MIDNIGHT = datetime.fromtimestamp(DAY * 86_400, UTC)
NOW = VolumeHeat(id="v", name="v", host="h", heat=1.0, fast=1.0, slow=1.0, observed_s=1.0, as_of=MIDNIGHT)


def day(number: int, **of_hour: list[float]) -> StoredDay:
    """A day whose given hours (`h7`) have these operations, weighted ones, bytes, seconds taken and seconds observed."""
    sums = {name: [0.0] * 24 for name in MEASURES}
    for hour, values in of_hour.items():
        for name, value in zip(MEASURES, values, strict=True):
            sums[name][int(hour[1:])] = value
    return StoredDay(number, sums)


def test_hours_are_steps_and_unobserved_ones_are_gaps() -> None:
    days = [day(DAY, h0=[7200, 3600, 36e6, 14.4, 3600], h2=[0, 0, 0, 0, 1800])]
    found = history(NOW, days, MIDNIGHT, MIDNIGHT + timedelta(hours=3, minutes=30), 200)
    assert (found.start, found.step_s) == (MIDNIGHT, 3600)
    assert found.operations_s == [2, None, 0, None]
    assert found.weighted_s == [1, None, 0, None]
    assert found.bytes_s == [10_000, None, 0, None]
    assert found.latency_ms == [2, None, None, None]


def test_wide_steps_are_means_over_what_was_observed() -> None:
    days = [day(DAY + at, h1=[3600, 3600, 0, 0, 3600], h2=[7200, 7200, 0, 0, 3600]) for at in range(30)]
    end = MIDNIGHT + timedelta(days=30)
    found = history(NOW, days, MIDNIGHT, end, 200)
    assert found.step_s == 4 * 3600
    assert len(found.operations_s) <= 200
    assert {value for value in found.operations_s if value is not None} <= {1, 1.5, 2}
    assert found.start + timedelta(seconds=found.step_s * len(found.operations_s)) > end
    assert found.hours == [None, 1, 2, *[None] * 21]


def test_points_are_never_more_than_asked_for() -> None:
    end = MIDNIGHT + timedelta(days=30, hours=5, minutes=17)
    for points in (1, 7, 30, 199, 1000):
        found = history(NOW, [], end - timedelta(days=30), end, points)
        assert len(found.operations_s) <= points
        assert found.start <= end - timedelta(days=29)
        assert found.start + timedelta(seconds=found.step_s * len(found.operations_s)) >= end


def test_days_outside_the_range_count_for_the_hours_of_the_day_only() -> None:
    found = history(NOW, [day(DAY - 90, h5=[10, 10, 0, 0, 10])], MIDNIGHT, MIDNIGHT + timedelta(days=1), 24)
    assert set(found.operations_s) == {None}
    assert found.hours[5] == pytest.approx(1)
