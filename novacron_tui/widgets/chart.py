"""A line chart as text, drawn by plotext in braille, with tones instead of colours. Unknown values are gaps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from novacron_tui.widgets.text_bar import Piece

_RUN = re.compile(r"\x1b\[([0-9;]*)m")
_TONES = {"38;5;1": "accent", "38;5;2": "warn"}
"""plotext's colour of the n-th series → tone; everything else is the frame."""
_PLAIN = str.maketrans("┤│└─┬┼", "||+-++")
_MAX_VALUE = 2.0**63
Lines = list[list[Piece]]


@dataclass(frozen=True, slots=True)
class Series:
    """Values at equal steps, oldest first; None where unknown. `newest` is the value in the title, `of` its total."""

    label: str
    values: Sequence[float | None]
    newest: float | Literal["as drawn"] | None = "as drawn"
    of: float | None = None


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
    """A title with the newest values and the curves below it, `size` cells in total.

    `ages` label the left end, the middle and the right end. `top` is the value of the upper edge (None: a round number
    above the maximum). At most two series.
    """
    width, height = size
    series = [replace(item, values=[_drawable(value) for value in item.values]) for item in series]
    upper = top or _round_above(max((v for item in series for v in item.values if v is not None), default=0.0))
    head = _head(title, series, words, width)
    if not any(value is not None for item in series for value in item.values):
        return [head, *_empty(width, height - 1)]
    text = _draw(series, (width, height - 1), upper, [words(0), words(upper / 2), words(upper)], ages, plain=plain)
    return [head, *(list(_pieces(line, plain=plain)) for line in text.splitlines()[: height - 1])]


def _drawable(value: float | None) -> float | None:
    """The value, or None (a gap) if it cannot be drawn."""
    return value if value is not None and 0 <= value <= _MAX_VALUE else None


def _head(title: str, series: Sequence[Series], words: Callable[[float], str], width: int) -> list[Piece]:
    pieces = [Piece(title, "strong")]
    for item, tone in zip(series, ("accent", "warn"), strict=False):
        newest = _newest_drawn(item.values) if item.newest == "as drawn" else _drawable(item.newest)
        text = words(newest) if newest is not None else "–"
        pieces.append(Piece(f"  {item.label} " if item.label else "  ", "quiet"))
        pieces.append(Piece(text, tone))
        if newest is not None and item.of is not None:
            pieces.append(Piece(f" of {words(item.of)}", "quiet"))
    return pieces


def _newest_drawn(values: Sequence[float | None]) -> float | None:
    """The newest value of the last few steps; an older one is not current."""
    return next((value for value in reversed(values[-4:]) if value is not None), None)


def _empty(width: int, height: int) -> Lines:
    message = "No data for this period"
    return [[Piece(message.center(width) if row == height // 2 else "", "quiet")] for row in range(height)]


def _draw(
    series: Sequence[Series],
    size: tuple[int, int],
    upper: float,
    scale: Sequence[str],
    ages: tuple[str, str, str],
    *,
    plain: bool,
) -> str:
    import plotext as plt  # takes 0.25 s: imported with the first chart

    plt.clear_figure()
    plt.theme("clear")
    plt.plotsize(*size)
    steps = max(len(item.values) for item in series)
    for color, item in enumerate(series, 1):
        for start, run in _runs(item.values):
            xs = list(range(start, start + len(run)))
            # plotext draws lines beyond the scale point by point: a far value would block the console.
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
    """The runs without a gap, each with its start index."""
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
    for match in _RUN.finditer(line):
        if text := line[at : match.start()]:
            yield Piece(text.translate(_PLAIN) if plain else text, tone)
        tone, at = _TONES.get(match[1], "quiet"), match.end()
    if text := line[at:]:
        yield Piece(text.translate(_PLAIN) if plain else text, tone)


def _round_above(value: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not less than `value`; large values scale by 1024."""
    if value <= 0:
        return 1.0
    unit = 1024.0 ** max(0, int(math.log(value, 1024)))
    scaled = value / unit
    power = 10 ** math.floor(math.log10(scaled))
    step = next(step for step in (1, 2, 5, 10) if step * power >= scaled)
    return float(step * power * unit)
