"""Sends only the changed cells to the terminal, in as few bytes as possible: it matters on slow connections.

Textual 8.2.8 repaints a line of a widget from its left edge to the end of the change, and repeats all colours for each
segment (see the TODO in ChopsUpdate). Textual is pinned to the patch release; tests/tui/test_painting.py verifies that
both ways give the same screen.
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

_Appearance = tuple[str, str, str]
"""Attributes, foreground and background as SGR parameters."""
_PLAIN: _Appearance = ("", "", "")
_ENDS = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "7": "27", "9": "29"}
"""SGR parameters that switch an attribute off. Source: ECMA-48."""
_VISIBLE_ON_BLANKS = frozenset({"4", "7", "9", "21", "53"})
"""SGR parameters: underline, reverse, strike, double underline, overline."""


def use_fine_compositor(screen: Screen[None]) -> None:
    """Use FineCompositor for this screen. Call once, before the screen is mounted."""
    screen._compositor = FineCompositor()


class FineCompositor(Compositor):
    """Textual's compositor with fine partial updates."""

    def render_partial_update(self) -> ChopsUpdate | None:
        update = super().render_partial_update()
        return update and FineUpdate(update.chops, update.spans, update.chop_ends)


class FineUpdate(ChopsUpdate):
    """A partial update that contains only the changed spans."""

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
