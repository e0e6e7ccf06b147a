"""Times and ages as operators type them: in their zone, across midnight and daylight saving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from novacron_core.rules.filters.events import event_fields, with_moments
from novacron_core.rules.filters.language import FilterError, parse_filter
from novacron_core.values.ages import parse_duration, parse_moment

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # 13:00 in Berlin


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("8h", 28800), ("1h30m", 5400), ("3d", 259200), ("1.5H", 5400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-8h", "8y", "8 h", "1e9h", "∞h", "8h!", "٣h"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="like 8h or 3d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12:59", "2026-11-23T11:59"),
        ("13:00", "2026-11-23T12:00"),
        ("13:01", "2026-11-22T12:01"),  # later than now: that of yesterday
        ("22:00", "2026-11-22T21:00"),
        ("0:30", "2026-11-22T23:30"),
        ("22:00:07", "2026-11-22T21:00:07"),
        ("2h", "2026-11-23T10:00"),
        ("2026-11-20", "2026-11-19T23:00"),
        ("2026-07-20", "2026-07-19T22:00"),  # daylight saving
        ("2026-11-20T22:00", "2026-11-20T21:00"),
        ("2026-11-20T22:00:00Z", "2026-11-20T22:00"),
    ],
)
def test_moments_are_those_of_the_zone(text: str, moment: str) -> None:
    assert parse_moment(text, NOW, BERLIN) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


def test_clock_on_the_morning_after_daylight_saving_has_ended() -> None:
    morning = datetime(2026, 10, 25, 7, 0, tzinfo=UTC)  # 08:00 CET; the night had 25 hours
    assert parse_moment("22:00", morning, BERLIN) == datetime(2026, 10, 24, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "noon", "24:00", "12:60", "2026-13-01", "0001-01-01T00:00+14:00", "999999w", "22"]
)
def test_what_is_no_moment_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="enter a time like 22:00, 2h, 2026-11-26"):
        parse_moment(text, NOW, BERLIN)


def test_a_filter_means_the_same_to_a_server_in_another_zone() -> None:
    here = 'web -since:22:00 by:ada,bob since:"2h" "since:22:00" state:failed'
    there = with_moments(here, NOW, BERLIN)
    assert there == 'web -since:2026-11-22T21:00:00Z by:ada,bob since:2026-11-23T10:00:00Z "since:22:00" state:failed'
    fields = event_fields(lambda: NOW + timedelta(minutes=1))
    assert [term.field for term in parse_filter(there, fields)] == ["name", "since", "by", "since", "name", "state"]
    with pytest.raises(FilterError, match="since:noon"):
        with_moments("web since:noon", NOW, BERLIN)
