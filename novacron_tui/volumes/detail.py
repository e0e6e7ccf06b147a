"""The details of a volume."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from novacron_core.api.tiering import StoragePolicy
from novacron_core.api.volumes import MoveHistory, PastMove, Volume
from novacron_core.rules.tiering.classes import class_of, class_text, cost_month, cost_text
from novacron_core.values.ages import age_s, age_text, moment_text
from novacron_core.values.sizes import size_text
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.columns import doing
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.heat import heat_words
from novacron_tui.widgets.detail import Lines, labelled


def of_volume(
    entry: VolumeEntry,
    glyphs: Glyphs,
    host_name: Callable[[str], str],
    now: datetime,
    policy: StoragePolicy | None = None,
) -> Lines:
    """All known properties; with the policy also what is declared of its tier."""
    volume = entry.volume
    cost = cost_text(cost_month(policy, volume.tier, volume.allocated_bytes)) if policy else ""
    used_by = entry.vm.name if entry.vm else "a VM you cannot see" if volume.vm else "nothing"
    rows = [
        ("tier", volume.tier or glyphs.no),
        ("class", class_text(class_of(policy, volume.tier)) if policy else ""),
        ("costs", f"{cost} a month" if cost else ""),
        ("heat", heat_words(entry.heat, now)),
        ("stays", f"pinned to {volume.tier}" if volume.pinned else ""),
        ("moves", "with the other disks of its VM that do" if volume.together else ""),
        ("advice", _dismissed(volume, now)),
        ("size", f"{size_text(volume.size_bytes)}, {size_text(volume.allocated_bytes)} on disk"),
        ("format", volume.format),
        ("used by", f"{used_by}{f' as {volume.role}' if volume.role else ''}"),
        ("backing file", volume.backing_file),
        ("note", volume.note),
        ("pool", f"{volume.pool} on {host_name(volume.host)}"),
        ("managed", "no: it can be viewed, not changed" if volume.unmanaged else "by NovaCron"),
        ("now", "".join(text for text, _ in doing(entry, glyphs))),
        ("step", entry.operation.step if entry.operation else ""),
        ("id", volume.id),
    ]
    return labelled((label, one_line(text)) for label, text in rows)


def _dismissed(volume: Volume, now: datetime) -> str:
    if volume.dismissed_until is None or volume.dismissed_until <= now:
        return ""
    why = f": {volume.dismissed_reason}" if volume.dismissed_reason else ""
    return f"dismissed until {moment_text(volume.dismissed_until)}{why}"


_MOVES = 8
"""How many moves are listed: the activity has all."""


def move_lines(history: MoveHistory, now: datetime, glyphs: Glyphs) -> Lines:
    """The last moves of a volume, newest first: when, from where to where, by whom, how long, and with what result."""
    lines = [line for move in history.moves[:_MOVES] for line in _move(move, now, glyphs)]
    if (more := len(history.moves) - _MOVES) > 0:
        lines.append(f"and {more} earlier")
    return labelled(("moves" if at == 0 else "", one_line(line)) for at, line in enumerate(lines))


def _move(move: PastMove, now: datetime, glyphs: Glyphs) -> list[str]:
    """One line, and one for the reason why it did not succeed."""
    when = f"{(move.finished_at or move.started_at).astimezone():%Y-%m-%d %H:%M}"
    way = f"{move.source or glyphs.no} {glyphs.arrow} {move.target}"
    took = age_text(age_s(move.started_at, move.finished_at or now))
    by = f"by {move.actor} " if move.actor else ""
    if move.finished_at is None:
        return [f"{when}  {way}  {by}for {took} so far"]
    if move.moved:
        return [f"{when}  {way}  {by}in {took}"]
    return [f"{when}  {way}  {by}{move.state} after {took}", *([f"  {move.reason}"] if move.reason else [])]
