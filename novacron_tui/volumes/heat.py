"""How hot a volume is, as a cell and in words."""

from __future__ import annotations

from datetime import datetime, timedelta

from novacron_core.api.samples import HeatSample
from novacron_core.api.tiering import HeatHistory
from novacron_core.api.volumes import Volume
from novacron_core.rules.tiering.words import operations_text
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.sizes import size_text
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.widgets.cells import Cell
from novacron_tui.widgets.detail import Lines, labelled
from novacron_tui.widgets.sparkline import sparkline

NOW_S = 1200.0
"""Last accesses come rounded to ten minutes: one that is newer is told as now."""
_LEVELS = (0.02, 1.0, 10.0, 100.0)
"""Operations per second and GiB from which a volume has one level more. The first is the policy's lowest line."""
_TONES = ("quiet", "plain", "plain", "warn", "bad")
_RISING, _FALLING = 1.25, 0.8
"""By how much the average of the day differs from that of the week where an arrow is shown."""


def level(sample: HeatSample, volume: Volume) -> int:
    """0 (idle) to 4, by operations per GiB."""
    heat = sample.per_gib(volume.allocated_bytes)
    return sum(heat >= line for line in _LEVELS)


def heat_cell(sample: HeatSample | None, volume: Volume, glyphs: Glyphs) -> Cell:
    """Level, operations per second, and whether they rise or fall. A value that is not of now is quiet."""
    if sample is None:
        return glyphs.cell("")
    at = level(sample, volume)
    tone = "quiet" if sample.as_of is not None else _TONES[at]
    trend = _trend(sample, glyphs) if at else " "
    return ((glyphs.heat[at], tone), (f"{operations_text(min(sample.fast, sample.slow)):>6}", tone), (trend, "quiet"))


def _trend(sample: HeatSample, glyphs: Glyphs) -> str:
    if sample.fast > sample.slow * _RISING:
        return glyphs.up
    return glyphs.down if sample.fast < sample.slow * _FALLING else " "


def last_access(sample: HeatSample | None, now: datetime) -> str:
    """When the last operation was seen, as an age."""
    if sample is None:
        return ""
    age = age_s(sample.accessed_at, now)
    if age is None:
        return "never"
    return "now" if age < NOW_S and sample.as_of is None else age_text(age)


def heat_words(sample: HeatSample | None, now: datetime) -> str:
    """For the details of a volume."""
    if sample is None:
        return ""
    old = f", {age_text(age_s(sample.as_of, now))} ago" if sample.as_of is not None else ""
    rates = f"{operations_text(sample.fast)} operations/s over a day, {operations_text(sample.slow)} over a week{old}"
    return f"{rates}; last one {_ago(last_access(sample, now))}"


def _ago(word: str) -> str:
    return {"now": "just now", "never": "never seen"}.get(word, f"{word} ago")


def history_lines(history: HeatHistory, *, plain: bool, width: int = 60) -> Lines:
    """The heat of a volume over time, in `width` cells, and in the hours of the day on this machine's clock."""
    now = history.now
    days = len(history.weighted_s) * history.step_s / 86_400
    top = max((value for value in history.weighted_s if value is not None), default=0.0)
    shift = round((datetime.now().astimezone().utcoffset() or timedelta()).total_seconds() / 3600)
    hours = [history.hours[(hour - shift) % 24] for hour in range(24) for _ in (0, 1)]
    most = max((value for value in hours if value is not None), default=0.0)
    size = f", {size_text(now.mean_bytes)} each" if now.mean_bytes else ""
    part = f"; {now.sequential:.0%} of the time like a backup or a scan" if now.sequential else ""
    rows = [
        (f"{days:.0f} days", f"{sparkline(history.weighted_s, width, top=top, plain=plain)}" if top else ""),
        ("", f"up to {operations_text(top)} operations/s, in steps of {age_text(history.step_s)}" if top else ""),
        ("by hour", f"{sparkline(hours, 24, top=most, plain=plain)}  0 to 24 h" if most else ""),
        ("seen", f"{now.reads:,} reads, {now.writes:,} writes{size}{part}"),
        ("watched", age_text(now.observed_s)),
    ]
    return labelled(rows)
