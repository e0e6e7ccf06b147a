"""A line of a terminal as a strip: the guest's cells, and over them cursor, selection, matches and a note."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from novacron_tui.consoles.screen_rows import CONCEAL, PLAIN_STYLE, REVERSE, ScreenRow
from novacron_tui.consoles.terminal_colors import TerminalColors


class PaintedLine(NamedTuple):
    """All that a painted line shows; equal ones need no repaint."""

    row: ScreenRow
    inverted: bool
    spans: tuple[tuple[int, int, str], ...]
    """Columns (end exclusive) that look otherwise, and the component class of how."""
    note: str


def painted_strip(line: PaintedLine, width: int, colors: TerminalColors, part_style: Callable[[str], Style]) -> Strip:
    """The strip of a line, `width` cells wide. `part_style` returns the style of a component class."""
    segments = []
    for text, style in line.row:
        if line.inverted:
            style = style._replace(flags=style.flags ^ REVERSE)
        shown = " " * cell_len(text) if style.flags & CONCEAL else text
        segments.append(Segment(shown, colors.style(style)))
    blank = colors.style(PLAIN_STYLE._replace(flags=REVERSE) if line.inverted else PLAIN_STYLE)
    strip = Strip(segments).adjust_cell_length(width, blank)
    for start, end, part in line.spans:
        strip = _overlaid(strip, start, min(end, width), part_style(part))
    if line.note and cell_len(line.note) + 2 <= width:
        note = Segment(f" {line.note} ", part_style("terminal--note"))
        strip = Strip([*strip.crop(0, width - note.cell_length), note])
    return strip


def _overlaid(strip: Strip, start: int, end: int, look: Style) -> Strip:
    """The strip with some of its cells in another look; a wide character that is cut is taken whole."""
    column = 0
    for segment in strip:
        if column < end and column + segment.cell_length > start and len(segment.text) != segment.cell_length:
            start, end = _whole(segment, column, start, end)
        column += segment.cell_length
    if start >= end:
        return strip
    middle = [Segment(text, (style or Style()) + look) for text, style, _ in strip.crop(start, end)]
    return Strip([*strip.crop(0, start), *middle, *strip.crop(end)])


def _whole(segment: Segment, column: int, start: int, end: int) -> tuple[int, int]:
    """The columns, widened to whole characters of a segment that begins at `column`."""
    for char in segment.text:
        after = column + Segment(char).cell_length
        if column < start < after:
            start = column
        if column < end < after:
            end = after
        column = after
    return start, end
