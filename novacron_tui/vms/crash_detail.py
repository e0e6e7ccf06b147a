"""The details of a VM's crash."""

from __future__ import annotations

from datetime import datetime

from novacron_core.api.vms import Crash
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.crash_rows import crash_rows
from novacron_tui.widgets.detail import Lines, labelled
from novacron_tui.widgets.text_bar import Piece


def crash_lines(crash: Crash, now: datetime) -> Lines:
    """When and why, and QEMU's last lines."""
    lines = labelled((label, one_line(text)) for label, text in crash_rows(crash, now))
    log = [[Piece(one_line(line), "plain")] for line in crash.log] or [[Piece(one_line(crash.log_note), "quiet")]]
    return [*lines, [Piece("")], [Piece("QEMU's log of the last run", "strong")], *log]
