"""The heat of a disk: averages that do not depend on when they were read, and that cool by themselves."""

from __future__ import annotations

import pytest

from novacron_core.rules.tiering.heat import DAY_S, Heat, observed, rates, unobserved, weighted
from novacron_core.values.sizes import GIB, KIB, MIB

HOUR_S = 3600.0


def watched(hours: int, per_second: float, *, start: Heat | None = None) -> Heat:
    """A disk that did so many small operations a second for some hours."""
    heat = start or Heat(at=0.0)
    for _ in range(hours):
        heat = observed(heat, heat.at + HOUR_S, per_second * HOUR_S, per_second * HOUR_S * 4 * KIB)
    return heat


def test_averages_are_right_from_the_first_hour_on() -> None:
    for hours in (1, 24, 24 * 30):
        heat = watched(hours, 214.0)
        found = rates(heat, heat.at)
        assert [found.fast, found.slow] == pytest.approx([214.0, 214.0])
    assert rates(Heat(at=5.0), 5.0).fast == 0.0, "nothing was seen"


def test_disk_that_nobody_touches_cools_without_a_job() -> None:
    heat = watched(24 * 60, 100.0)
    for days, fast, slow in ((1, 50.0, 90.57), (7, 0.78, 50.0), (14, 0.006, 25.0)):
        found = rates(heat, heat.at + days * DAY_S)
        assert found.fast == pytest.approx(fast, rel=0.02, abs=0.002)
        assert found.slow == pytest.approx(slow, rel=0.01)


def test_averages_do_not_depend_on_how_often_the_counters_are_read() -> None:
    once = observed(watched(48, 10.0), 72 * HOUR_S, 30.0 * DAY_S, 0.0)
    often = watched(24, 30.0, start=watched(48, 10.0))
    assert once.fast == pytest.approx(often.fast)
    assert once.slow == pytest.approx(often.slow)
    assert once.observed_s == often.observed_s


def test_heat_does_not_fall_because_nobody_looked() -> None:
    heat = watched(24 * 20, 50.0)
    later = unobserved(heat, heat.at + 3 * DAY_S)
    assert rates(later, later.at) == rates(heat, heat.at)
    assert later.observed_s == heat.observed_s
    idle = observed(later, later.at + DAY_S)
    assert rates(idle, idle.at).fast == pytest.approx(25.0, rel=0.01), "looked again, and it was idle"


def test_clock_that_was_set_back_observes_nothing() -> None:
    heat = watched(10, 50.0)
    assert observed(heat, heat.at - HOUR_S, 1e9, 0.0) == heat
    assert unobserved(heat, heat.at - HOUR_S) == heat
    assert rates(heat, heat.at - HOUR_S) == rates(heat, heat.at)


def test_last_access_is_the_end_of_the_last_interval_with_operations() -> None:
    heat = watched(3, 1.0)
    assert observed(heat, heat.at + HOUR_S).accessed_at == 3 * HOUR_S
    assert Heat(at=0.0).accessed_at is None


@pytest.mark.parametrize(
    ("operations", "size_bytes", "counted"),
    [
        (1000, 1000 * 4 * KIB, 1000.0),
        (1000, 1000 * 64 * KIB, 1000.0),
        (1000, 1000 * MIB, 62.5),
        (10, GIB, 10 * 64 * KIB * 10 / GIB),
        (0, 0, 0.0),
        (5, 0, 5.0),
    ],
)
def test_large_operations_count_less(operations: float, size_bytes: float, counted: float) -> None:
    assert weighted(operations, size_bytes) == pytest.approx(counted)


def test_nightly_backup_does_not_make_a_disk_hot() -> None:
    quiet = watched(24, 0.5)
    backup = observed(watched(23, 0.5), 24 * HOUR_S, 200 * GIB / MIB, 200 * GIB)
    assert rates(backup, backup.at).fast < 2 * rates(quiet, quiet.at).fast
