"""Sends only the cells that differ from what the terminal shows, in as few bytes as possible: it matters on slow
connections.

Textual 8.2.8 repaints a line of a widget from its left edge to the end of the change and repeats all colours for each
segment (see the TODO in ChopsUpdate), and paints a new screen whole, two or three times until its layout is settled.
Textual is pinned to the patch release; tests/tui/test_painting.py verifies that both ways give the same screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate

_Appearance = tuple[str, str, str]
"""Attributes, foreground and background as SGR parameters."""
_Cell = tuple[str, _Appearance]
"""What a cell shows; the right half of a wide character is an empty text."""
_PLAIN: _Appearance = ("", "", "")
_ENDS = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "9": "29"}
"""SGR parameters that switch an attribute off. Source: ECMA-48."""
_VISIBLE_ON_BLANKS = frozenset({"4", "7", "9", "21", "53"})
"""SGR parameters: underline, reverse, strike, double underline, overline."""
_NEAR = 4
"""Two changes of one appearance with at most this many cells between them are written as one."""


class Painted:
    """The cells that the terminal shows, as far as they are known."""

    def __init__(self) -> None:
        self._lines: list[list[_Cell]] = []

    def forget(self) -> None:
        """The terminal may show anything: the next full update is written whole."""
        self._lines = []

    def render(self, update: LayoutUpdate | ChopsUpdate, console: Console) -> str:
        """The output for the terminal that leads from what it shows to what the update shows."""
        system = console._color_system or ColorSystem.TRUECOLOR
        pen = Pen(system)
        if isinstance(update, LayoutUpdate):
            lines = [_cells((seg for strip in strips for seg in strip), system) for strips in update.strips]
            known = [len(line) for line in lines] == [len(line) for line in self._lines]
            for y, line in enumerate(lines):
                pen.write_cells(y, line, _differences(self._lines[y], line) if known else [(0, len(line))])
            self._lines = lines
            return pen.lift()
        for y, left, right in update.spans:
            for x, segments in _pieces(update, y, left, right):
                self._change(pen, x, y, _cells(segments, system))
        return pen.lift()

    def _change(self, pen: Pen, x: int, y: int, cells: list[_Cell]) -> None:
        """Write the cells from x on of a line that differ."""
        line = self._lines[y] if y < len(self._lines) else []
        if cells and line[x : x + len(cells)] == cells:
            return
        after = [*line[:x], *cells, *line[x + len(cells) :]]
        if len(after) != len(line):  # not known what is there
            self.forget()
            pen.write_cells(y, [*[("", _PLAIN)] * x, *cells], [(x, x + len(cells))])
            return
        pen.write_cells(y, after, _differences(line, after, x, x + len(cells)))
        self._lines[y] = after


class Difference(CompositorUpdate):
    """An update as Textual takes it, which writes only what differs."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, painted: Painted) -> None:
        self._update, self._painted = update, painted

    def render_segments(self, console: Console) -> str:
        return self._painted.render(self._update, console)


def _pieces(update: ChopsUpdate, y: int, left: int, right: int) -> Iterator[tuple[int, Iterable[Segment]]]:
    """The changed parts of a line, each with the cell where it starts."""
    for end, (start, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
        if strip is not None and start < right and end > left:
            first = max(start, left)
            yield first, strip.crop(first - start, min(end, right) - start)


def _cells(segments: Iterable[Segment], system: ColorSystem) -> list[_Cell]:
    cells: list[_Cell] = []
    for text, style, control in segments:
        if control or not text:
            continue
        look = _appearance(style, system) if style else _PLAIN
        while cells and text and not text[0].isascii() and not cell_len(text[0]):  # belongs to what is before it
            _add_to_last(cells, text[0])
            text = text[1:]
        cells += _text_cells(text, look)
    return cells


@lru_cache(maxsize=4096)  # the rows of a list that scrolls are the same texts on other lines
def _text_cells(text: str, look: _Appearance) -> list[_Cell]:
    if text.isascii():
        return [(char, look) for char in text]
    cells: list[_Cell] = []
    for char in text:
        width = cell_len(char)
        if width == 0 and cells:
            _add_to_last(cells, char)
        else:
            cells += [(char, look), *[("", look)] * (width - 1)]
    return cells


def _add_to_last(cells: list[_Cell], char: str) -> None:
    """Add a character without a width to the one before it."""
    at = len(cells) - 1 if cells[-1][0] else len(cells) - 2
    cells[at] = (cells[at][0] + char, cells[at][1])


def _differences(
    before: Sequence[_Cell], after: Sequence[_Cell], left: int = 0, right: int | None = None
) -> list[tuple[int, int]]:
    """The ranges of cells that differ, end exclusive; no wide character is split."""
    runs: list[tuple[int, int]] = []
    changed = [at for at in range(left, len(after) if right is None else right) if before[at] != after[at]]
    for at in changed:
        if before[at][0] == after[at][0] == " " and _same_on_blanks(before[at][1], after[at][1]):
            continue
        start, end = at, at + 1
        while start > 0 and not after[start][0]:
            start -= 1
        while end < len(after) and not after[end][0]:
            end += 1
        if runs and (start < runs[-1][1] or _may_join(after, runs[-1][1], start)):
            start = runs.pop()[0]
        runs.append((start, max(end, start + 1)))
    return runs


def _may_join(cells: Sequence[_Cell], end: int, start: int) -> bool:
    """Whether the cells between two changes are few, and look as both do: moving the cursor would take more bytes."""
    return start <= end + _NEAR and len({look for _, look in cells[end - 1 : start + 1]}) == 1


class Pen:
    """Writes styled text grouped by appearance: setting two colours takes more bytes than moving the cursor."""

    def __init__(self, system: ColorSystem) -> None:
        self._system = system
        self._runs: dict[_Appearance, list[tuple[int, int, str]]] = {}
        self._appearance = _PLAIN
        self._at = (-1, -1)

    def write(self, x: int, y: int, segments: Iterable[Segment]) -> None:
        """Add segments that start at a cell."""
        appearance: _Appearance | None = None
        for text, style, control in segments:
            if control or not text:
                continue
            own = _appearance(style, self._system) if style else _PLAIN
            if appearance is None or not (own == appearance or (text.isspace() and _same_on_blanks(own, appearance))):
                appearance = own
                self._runs.setdefault(appearance, []).append((x, y, text))
            else:
                start, _, run = self._runs[appearance][-1]
                self._runs[appearance][-1] = (start, y, run + text)
            x += cell_len(text)

    def write_cells(self, y: int, line: Sequence[_Cell], ranges: Iterable[tuple[int, int]]) -> None:
        """Add ranges of the cells of a line."""
        for start, end in ranges:
            appearance: _Appearance | None = None
            for x in range(start, end):
                text, own = line[x]
                blank = text in (" ", "")
                if appearance is None or not (own == appearance or (blank and _same_on_blanks(own, appearance))):
                    appearance = own
                    self._runs.setdefault(appearance, []).append((x, y, text))
                else:
                    first, _, run = self._runs[appearance][-1]
                    self._runs[appearance][-1] = (first, y, run + text)

    def lift(self) -> str:
        """The output for the terminal; it ends with the style reset."""
        out: list[str] = []
        for appearance, runs in self._runs.items():
            out.append(_sgr(self._appearance, appearance))
            self._appearance = appearance
            for x, y, text in runs:
                out += (self._move(x, y), text)
                self._at = (x + cell_len(text), y)
        return "".join((*out, _sgr(self._appearance, _PLAIN)))

    def _move(self, x: int, y: int) -> str:
        if self._at == (x, y):
            return ""
        return f"\x1b[{x + 1}G" if self._at[1] == y else f"\x1b[{y + 1};{x + 1}H"


def _sgr(before: _Appearance, now: _Appearance) -> str:
    """The sequence that switches from one appearance to another."""
    if before == now:
        return ""
    if now == _PLAIN:
        return "\x1b[m"
    old_attributes, new_attributes = set(filter(None, before[0].split(";"))), list(filter(None, now[0].split(";")))
    removed = old_attributes - set(new_attributes)
    # 22 ends both bold and dim, and rare attributes have no portable end: reset first.
    if removed - _ENDS.keys() or {"1", "2"} <= old_attributes:
        words = ["0", *new_attributes, now[1], now[2]]
    else:
        words = [_ENDS[word] for word in sorted(removed)] + [
            word for word in new_attributes if word not in old_attributes
        ]
        words += [new or end for old, new, end in ((before[1], now[1], "39"), (before[2], now[2], "49")) if old != new]
    return f"\x1b[{';'.join(filter(None, words))}m"


@lru_cache(maxsize=1024)
def _same_on_blanks(one: _Appearance, other: _Appearance) -> bool:
    """Whether a blank looks the same in both appearances."""
    return one[2] == other[2] and not _VISIBLE_ON_BLANKS & {*one[0].split(";"), *other[0].split(";")}


@lru_cache(maxsize=1024)
def _appearance(style: Style, system: ColorSystem) -> _Appearance:
    attributes = Style(**{name: getattr(style, name) for name in _ATTRIBUTES if getattr(style, name)})._make_ansi_codes(
        system
    )
    foreground, background = style.color, style.bgcolor
    return (
        attributes,
        ";".join(foreground.downgrade(system).get_ansi_codes()) if foreground else "",
        ";".join(background.downgrade(system).get_ansi_codes(foreground=False)) if background else "",
    )


_ATTRIBUTES = (
    "bold",
    "dim",
    "italic",
    "underline",
    "blink",
    "blink2",
    "reverse",
    "conceal",
    "strike",
    "underline2",
    "frame",
    "encircle",
    "overline",
)
