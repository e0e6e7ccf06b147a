"""A line chart as text, drawn by plotext in braille; its colours are tones of ours. Gaps stay gaps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from novacron_tui.widgets.text_bar import Piece

_RUN = re.compile(r"\x1b\[([0-9;]*)m")
_TONES = {"38;5;1": "accent", "38;5;2": "warn"}
"""plotext's colour of the n-th series → its tone; everything else is the frame."""
_PLAIN = str.maketrans("┤│└─┬┼", "||+-++")
_MOST = 2.0**63
Lines = list[list[Piece]]


@dataclass(frozen=True, slots=True)
class Series:
    """Values at even steps, oldest first; None where there is no number. `newest` is what the title says."""

    label: str
    values: Sequence[float | None]
    newest: float | Literal["as drawn"] | None = "as drawn"


def chart(
    title: str,
    series: Sequence[Series],
    size: tuple[int, int],
    ages: tuple[str, str, str],
    *,
    top: float | None = None,
    words: Callable[[float], str] = lambda value: f"{value:.0f}",
    plain: bool = False,
) -> Lines:
    """A title with the newest values, and below it the curves: `size` cells in all.

    `ages` stand below the left end, the middle and the right end. `top` is the value of the upper edge (None: a round
    number above the greatest). At most two series.
    """
    width, height = size
    series = [replace(one, values=[_sane(value) for value in one.values]) for one in series]
    upper = top or _round_above(max((v for one in series for v in one.values if v is not None), default=0.0))
    head = _head(title, series, words, width)
    if not any(value is not None for one in series for value in one.values):
        return [head, *_empty(width, height - 1)]
    text = _draw(series, (width, height - 1), upper, [words(0), words(upper / 2), words(upper)], ages, plain=plain)
    return [head, *(list(_pieces(line, plain=plain)) for line in text.splitlines()[: height - 1])]


def _sane(value: float | None) -> float | None:
    """A number that can be drawn; what is none, or more than anything can be, is a gap."""
    return value if value is not None and 0 <= value <= _MOST else None


def _head(title: str, series: Sequence[Series], words: Callable[[float], str], width: int) -> list[Piece]:
    pieces = [Piece(title, "strong")]
    for one, tone in zip(series, ("accent", "warn"), strict=False):
        newest = _last(one.values) if one.newest == "as drawn" else _sane(one.newest)
        told = words(newest) if newest is not None else "–"
        pieces.append(Piece(f"  {one.label} " if one.label else "  ", "quiet"))
        pieces.append(Piece(told, tone))
    return pieces


def _last(values: Sequence[float | None]) -> float | None:
    """The newest number of the last few steps: an older one is not what it is now."""
    return next((value for value in reversed(values[-4:]) if value is not None), None)


def _empty(width: int, height: int) -> Lines:
    said = "no numbers in this time"
    return [[Piece(said.center(width) if row == height // 2 else "", "quiet")] for row in range(height)]


def _draw(
    series: Sequence[Series],
    size: tuple[int, int],
    upper: float,
    scale: Sequence[str],
    ages: tuple[str, str, str],
    *,
    plain: bool,
) -> str:
    import plotext as plt  # a quarter of a second: not before the first chart

    plt.clear_figure()
    plt.theme("clear")
    plt.plotsize(*size)
    steps = max(len(one.values) for one in series)
    for color, one in enumerate(series, 1):
        for start, run in _runs(one.values):
            xs = list(range(start, start + len(run)))
            # A line far off the scale is drawn point by point all the way there: the console would hang.
            run = [min(upper, value) for value in run]
            plt.plot(xs, run, marker="*" if plain else "braille", color=color)
    plt.xlim(0, max(1, steps - 1))
    plt.ylim(0, upper)
    plt.yticks([0, upper / 2, upper], list(scale))
    plt.xticks([0, (steps - 1) / 2, max(1, steps - 1)], list(ages))
    plt.xaxes(True, False)
    plt.yaxes(True, False)
    return str(plt.build())


def _runs(values: Sequence[float | None]) -> Iterator[tuple[int, list[float]]]:
    """The stretches without a gap, each with where it begins."""
    start, run = 0, list[float]()
    for at, value in enumerate([*values, None]):
        if value is not None:
            if not run:
                start = at
            run.append(value)
        elif run:
            yield start, run
            run = []


def _pieces(line: str, *, plain: bool) -> Iterator[Piece]:
    tone, at = "quiet", 0
    for found in _RUN.finditer(line):
        if text := line[at : found.start()]:
            yield Piece(text.translate(_PLAIN) if plain else text, tone)
        tone, at = _TONES.get(found[1], "quiet"), found.end()
    if text := line[at:]:
        yield Piece(text.translate(_PLAIN) if plain else text, tone)


def _round_above(value: float) -> float:
    """1, 2 or 5 times a power of ten, or of 1024 for large ones: the first that is not less."""
    if value <= 0:
        return 1.0
    unit = 1024.0 ** max(0, int(math.log(value, 1024)))
    scaled = value / unit
    power = 10 ** math.floor(math.log10(scaled))
    step = next(step for step in (1, 2, 5, 10) if step * power >= scaled)
    return float(step * power * unit)
