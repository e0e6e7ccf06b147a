"""Windows of the week: which times are in them."""

from __future__ import annotations

from datetime import datetime

import pytest

from novacron_core.values.windows import is_open, parse_windows

MONDAY = 2  # 2026-11-02


def at(day: int, clock: str) -> datetime:
    """A time of the week that begins on a Monday; day 0 is that Monday."""
    hour, _, minute = clock.partition(":")
    return datetime(2026, 11, MONDAY + day, int(hour), int(minute))


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("", [(0, "00:00"), (6, "23:59")], []),
        ("22:00-06:00", [(0, "22:00"), (1, "05:59"), (0, "00:00"), (6, "23:59")], [(0, "06:00"), (3, "21:59")]),
        ("08:00-12:30", [(2, "08:00"), (2, "12:29")], [(2, "12:30"), (2, "07:59")]),
        ("sat,sun 00:00-24:00", [(5, "00:00"), (6, "23:59")], [(4, "23:59"), (0, "00:00")]),
        ("fri-mon 22:00-02:00", [(4, "22:00"), (1, "01:59"), (0, "23:00")], [(1, "22:00"), (4, "01:00"), (2, "01:00")]),
        ("SUN 23:00-01:00", [(6, "23:30"), (0, "00:59")], [(0, "01:00"), (0, "23:30")]),
        ("mon 08:00-09:00; tue 10:00-11:00", [(0, "08:30"), (1, "10:30")], [(0, "10:30"), (1, "08:30")]),
    ],
)
def test_times_inside_and_outside(text: str, inside: list[tuple[int, str]], outside: list[tuple[int, str]]) -> None:
    windows = parse_windows(text)
    assert [each for each in inside if not is_open(windows, at(*each))] == []
    assert [each for each in outside if is_open(windows, at(*each))] == []


@pytest.mark.parametrize(
    "text",
    [
        "22-06",
        "25:00-26:00",
        "08:60-09:00",
        "10:00-10:00",
        "24:00-06:00",
        "funday 08:00-09:00",
        "mon",
        "8:00",
        "-",
        ";",
    ],
)
def test_what_is_no_window_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"no window|no day|no time"):
        parse_windows(text)
