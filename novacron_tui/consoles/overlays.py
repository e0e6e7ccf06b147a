"""Draws parts of a painted line in another look: the cursor, a selection, a match."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip


def overlaid(strip: Strip, start: int, end: int, look: Style) -> Strip:
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
