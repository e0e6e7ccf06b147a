"""Only the cells that changed go to the terminal, in the fewest bytes: what an operator feels on a slow line.

Textual 8.2.8 paints a widget's line from its left edge to the end of the change, and names all colours for each piece
of it (ChopsUpdate's own TODO). It is pinned to the patch release; tests/tui/test_painting.py compares what a terminal
shows after both ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor
from textual.screen import Screen

_Look = tuple[str, str, str]
"""Attributes, colour and ground as SGR parameters."""
_PLAIN: _Look = ("", "", "")
_ENDS = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "9": "29"}
"""What ends an attribute, as ECMA-48 has it."""
_VISIBLE_ON_BLANKS = frozenset({"4", "7", "9", "21", "53"})
"""Underline, reverse, strike, double underline, overline."""


def paint_finely(screen: Screen[None]) -> None:
    """Let this screen's partial updates be fine ones. Called once, before the screen is mounted."""
    screen._compositor = FineCompositor()


class FineCompositor(Compositor):
    """Textual's compositor with another last step."""

    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return update and FineUpdate(update.chops, update.spans, update.chop_ends)


class FineUpdate(ChopsUpdate):
    """Changed spans, cut on both sides."""

    def render_segments(self, console: Console) -> str:
        pen = Pen(console._color_system or ColorSystem.TRUECOLOR)
        for y, left, right in self.spans:
            for end, (start, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or start >= right or end <= left:
                    continue
                first = max(start, left)
                pen.write(first, y, strip.crop(first - start, min(end, right) - start))
        return pen.lift()


class Pen:
    """Writes styled text, look by look: what looks the same is written together, wherever it stands, because naming
    two colours costs more bytes than going to a cell."""

    def __init__(self, system: ColorSystem) -> None:
        self._system = system
        self._runs: dict[_Look, list[tuple[int, int, str]]] = {}
        self._look = _PLAIN
        self._at = (-1, -1)

    def write(self, x: int, y: int, segments: Iterable[Segment]) -> None:
        """Have these written from a cell on."""
        look: _Look | None = None
        for text, style, control in segments:
            if control or not text:
                continue
            own = _look(style, self._system) if style else _PLAIN
            if look is None or not (own == look or (text.isspace() and _same_on_blanks(own, look))):
                look = own
                self._runs.setdefault(look, []).append((x, y, text))
            else:
                start, _, run = self._runs[look][-1]
                self._runs[look][-1] = (start, y, run + text)
            x += cell_len(text)

    def lift(self) -> str:
        """What the terminal is to be sent; it is left without a style."""
        out: list[str] = []
        for look, runs in self._runs.items():
            out.append(_sgr(self._look, look))
            self._look = look
            for x, y, text in runs:
                out += (self._move(x, y), text)
                self._at = (x + cell_len(text), y)
        return "".join((*out, _sgr(self._look, _PLAIN)))

    def _move(self, x: int, y: int) -> str:
        if self._at == (x, y):
            return ""
        return f"\x1b[{x + 1}G" if self._at[1] == y else f"\x1b[{y + 1};{x + 1}H"


def _sgr(before: _Look, now: _Look) -> str:
    """The sequence that turns one look into another."""
    if before == now:
        return ""
    if now == _PLAIN:
        return "\x1b[m"
    had, has = set(filter(None, before[0].split(";"))), list(filter(None, now[0].split(";")))
    lost = had - set(has)
    # 22 ends both bold and dim; a rare attribute has no end that every terminal knows: begin anew.
    if lost - _ENDS.keys() or {"1", "2"} <= had:
        words = ["0", *has, now[1], now[2]]
    else:
        words = [_ENDS[word] for word in sorted(lost)] + [word for word in has if word not in had]
        words += [new or end for old, new, end in ((before[1], now[1], "39"), (before[2], now[2], "49")) if old != new]
    return f"\x1b[{';'.join(filter(None, words))}m"


def _same_on_blanks(one: _Look, other: _Look) -> bool:
    """Whether a blank looks the same in both."""
    return one[2] == other[2] and not _VISIBLE_ON_BLANKS & {*one[0].split(";"), *other[0].split(";")}


@lru_cache(maxsize=1024)
def _look(style: Style, system: ColorSystem) -> _Look:
    attributes = Style(**{name: getattr(style, name) for name in _ATTRIBUTES if getattr(style, name)})._make_ansi_codes(
        system
    )
    ink, ground = style.color, style.bgcolor
    return (
        attributes,
        ";".join(ink.downgrade(system).get_ansi_codes()) if ink else "",
        ";".join(ground.downgrade(system).get_ansi_codes(foreground=False)) if ground else "",
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
