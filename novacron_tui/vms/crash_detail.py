"""The details of a VM's crash."""

from __future__ import annotations

from datetime import datetime

from novacron_core.api.vms import Crash
from novacron_core.values.ages import age_s, age_text
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import Lines, labelled
from novacron_tui.widgets.text_bar import Piece


def crash_rows(crash: Crash, now: datetime) -> list[tuple[str, str]]:
    """When and why, as labels with their texts."""
    rows = [("reason", crash.reason), ("crashed", _when(crash.at, now))]
    if crash.at is None:
        rows[1:] = [("crashed", "while no server was running"), ("found", _when(crash.found_at, now))]
    by = f", by {crash.acknowledged_by}" if crash.acknowledged_by else ""
    return [*rows, ("acknowledged", f"{_when(crash.acknowledged_at, now)}{by}" if crash.acknowledged_at else "")]


def crash_lines(crash: Crash, now: datetime) -> Lines:
    """When and why, and QEMU's last lines."""
    lines = labelled((label, one_line(text)) for label, text in crash_rows(crash, now))
    log = [[Piece(one_line(line), "plain")] for line in crash.log] or [[Piece(one_line(crash.log_note), "quiet")]]
    return [*lines, [Piece("")], [Piece("QEMU's log of the last run", "strong")], *log]


def _when(at: datetime | None, now: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {age_text(age_s(at, now))} ago" if at else ""
