"""The rows of a guest's screen: runs of text with one style, in which every character fills the cells that it occupies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from rich.cells import cell_len

from novacron_tui.terminal.safe_text import MARK, one_line

DEFAULT_COLOR = -1
TRUE_COLOR = 1 << 24
"""A colour from here on is TRUE_COLOR plus 0xRRGGBB; below it is one of xterm's 256."""
BOLD, DIM, ITALIC, UNDERLINE, REVERSE, CONCEAL, STRIKE = (1 << bit for bit in range(7))


class CellStyle(NamedTuple):
    """How a cell looks. `flags` is a sum of BOLD, DIM, ITALIC, UNDERLINE, REVERSE, CONCEAL and STRIKE."""

    foreground: int = DEFAULT_COLOR
    background: int = DEFAULT_COLOR
    flags: int = 0


PLAIN_STYLE = CellStyle()
ScreenRow = tuple[tuple[str, CellStyle], ...]
"""Runs of (text, style). Blanks of PLAIN_STYLE at the end are left out, so a row may be shorter than the screen."""


class CursorPosition(NamedTuple):
    """A cell, counted from 0."""

    column: int
    row: int


_style_of = itemgetter(0)


def row_of(cells: Sequence[tuple[Any, str]], style_of: Callable[[Any], CellStyle]) -> ScreenRow:
    """The row of an emulator's cells, which are (its own style, text); the right half of a wide character is "".
    Neighbours are joined whose style is the same object."""
    runs: list[tuple[str, CellStyle]] = []
    at = 0
    for _, same in groupby(
        map(id, map(_style_of, cells))
    ):  # comparing the emulator's styles takes longer than all the rest
        group = cells[at : at + len(list(same))]
        at += len(group)
        text, style = _harmless([text for _, text in group]), style_of(group[0][0])
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + text, style)
        else:
            runs.append((text, style))
    while runs and runs[-1][1] == PLAIN_STYLE:
        text = runs.pop()[0].rstrip(" ")
        if text:
            runs.append((text, PLAIN_STYLE))
            break
    return tuple(runs)


def _harmless(texts: list[str]) -> str:
    """The texts of neighbouring cells as one, each as wide as its cells, without anything that a terminal executes."""
    joined = "".join(texts)
    if joined.isascii() and joined.isprintable():
        return joined
    out: list[str] = []
    for at, text in enumerate(texts):
        if text:
            is_wide = at + 1 < len(texts) and not texts[at + 1]
            out.append(text if len(text) == 1 and " " <= text <= "~" else _harmless_cell(text, 1 + is_wide))
        elif at == 0:
            out.append(" ")  # the right half of a character whose left half has another style
    return "".join(out)


@lru_cache(maxsize=8192)
def _harmless_cell(text: str, width: int) -> str:
    safe = one_line(text)
    return safe if cell_len(safe) == width else MARK + " " * (width - 1)


def text_of(row: ScreenRow) -> str:
    """The text of a row, without blanks at its end."""
    return "".join(text for text, _ in row).rstrip(" ")
