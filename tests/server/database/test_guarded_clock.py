"""A clock that is wrong for a while deletes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from novacron_server.database.guarded_clock import GuardedClock

HOUR = timedelta(hours=1)


class Clocks:
    def __init__(self) -> None:
        self.wall, self.steady = datetime(2026, 1, 1, tzinfo=UTC), 1000.0
        self.calendar = GuardedClock(lambda: self.wall, lambda: self.steady)

    def after(self, passed: timedelta) -> datetime:
        self.wall += passed
        self.steady += passed.total_seconds()
        return self.calendar.now()


def test_follows_the_wall_clock_through_drift_suspend_and_setting_back() -> None:
    clocks = Clocks()
    assert clocks.after(90 * 24 * HOUR) == clocks.wall  # the machine was suspended
    clocks.wall += timedelta(minutes=5)
    assert clocks.after(HOUR) == clocks.wall
    clocks.wall -= 400 * 24 * HOUR
    assert clocks.after(HOUR) == clocks.wall


def test_jump_ahead_is_trusted_after_a_day_and_a_corrected_one_never() -> None:
    clocks = Clocks()
    right = clocks.wall
    clocks.wall += 400 * 24 * HOUR
    assert clocks.after(HOUR) == right + HOUR
    assert clocks.after(HOUR) == right + 2 * HOUR
    clocks.wall -= 400 * 24 * HOUR
    assert clocks.after(HOUR) == clocks.wall == right + 3 * HOUR
    clocks.wall += 400 * 24 * HOUR
    assert clocks.after(HOUR) == right + 4 * HOUR
    assert clocks.after(23 * HOUR) == right + 27 * HOUR
    assert clocks.after(2 * HOUR) == clocks.wall
