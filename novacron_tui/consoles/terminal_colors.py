"""How a guest's colours are painted: its sixteen in the hues of the theme, the others as they are.

Without colours (the mono theme) a coloured background is drawn reversed. Text that would be hard to read on its
background, as a guest's white is on a light theme, gets the better of black and white.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from rich.color import Color, blend_rgb
from rich.color_triplet import ColorTriplet
from rich.style import Style

from novacron_tui.consoles.screen_rows import (
    BOLD,
    DIM,
    ITALIC,
    REVERSE,
    STRIKE,
    TRUE_COLOR,
    UNDERLINE,
    CellStyle,
)
from novacron_tui.terminal.themes import DARK_16, MONO

MIN_CONTRAST = 2.5
"""Of text to its background (WCAG 2.2). Guests draw decorations fainter than text should be, so it is no more."""
_HUES = ("tone-bad", "tone-good", "tone-warn", "tone-busy", "magenta", "accent")
"""Of colours 1 to 6: red, green, yellow, blue, magenta, cyan. No tone of the themes is magenta."""
_FALLBACK = ("#f07c82", "#86c58a", "#e6b45c", "#82a8f0", "#c8a2dc", "#6cb6d9")
_MAGENTA = {True: "#c8a2dc", False: "#8a3f9e"}
_WHITE, _BLACK = ColorTriplet(255, 255, 255), ColorTriplet(0, 0, 0)


class TerminalColors:
    """The styles of cells in a theme. `variables` are those of the theme's stylesheet."""

    def __init__(self, theme: str, variables: Mapping[str, str], *, dark: bool) -> None:
        self._is_mono = theme == MONO
        self._keeps_ansi = theme == DARK_16.name  # the terminal has just these, so its own are the best
        self.foreground = _triplet(variables.get("foreground", ""), "#cdd6e0")
        self.background = _triplet(variables.get("background", ""), "#10141b")
        self._palette = self._sixteen(variables, dark)
        self._styles: dict[CellStyle, Style] = {}

    def _sixteen(self, variables: Mapping[str, str], dark: bool) -> list[ColorTriplet]:
        known = {**variables, "magenta": _MAGENTA[dark]}
        hues = [_triplet(known.get(name, ""), other) for name, other in zip(_HUES, _FALLBACK, strict=True)]
        quiet = _triplet(known.get("tone-quiet", ""), "#8391a5")
        if dark:
            black, white, bright_white = blend_rgb(self.background, _BLACK, 0.45), self.foreground, _WHITE
            bright = [blend_rgb(hue, _WHITE, 0.3) for hue in hues]
        else:
            black, white, bright_white = self.foreground, blend_rgb(self.background, quiet, 0.3), self.background
            bright = [blend_rgb(hue, self.background, 0.2) for hue in hues]
        return [black, *hues, white, quiet, *bright, bright_white]

    def style(self, cell: CellStyle) -> Style:
        """The style to paint a cell in."""
        if (known := self._styles.get(cell)) is None:
            if len(self._styles) > 4096:
                self._styles.clear()
            known = self._styles[cell] = self._made(cell)
        return known

    def _made(self, cell: CellStyle) -> Style:
        foreground, background, flags = cell
        reverse = bool(flags & REVERSE)
        look = Style(
            bold=bool(flags & BOLD) or None,
            dim=bool(flags & DIM) or None,
            italic=bool(flags & ITALIC) or None,
            underline=bool(flags & UNDERLINE) or None,
            strike=bool(flags & STRIKE) or None,
        )
        if self._is_mono:
            inverted = reverse != (background > 0)
            text, ground = self.foreground, self.background
            return look + _style(*((ground, text) if inverted else (text, ground)))
        if self._keeps_ansi and -1 <= foreground < 16 and -1 <= background < 16:
            style = Style(
                color=None if foreground < 0 else Color.from_ansi(foreground),
                bgcolor=None if background < 0 else Color.from_ansi(background),
                reverse=reverse or None,
            )
            return look + _style(self.foreground, self.background) + style
        text = self.foreground if foreground < 0 else self._color(foreground)
        ground = self.background if background < 0 else self._color(background)
        if foreground < 16 and _contrast(text, ground) < MIN_CONTRAST and not (foreground == background >= 0):
            text = max(self.foreground, self.background, _WHITE, _BLACK, key=lambda each: _contrast(each, ground))
        return look + _style(*((ground, text) if reverse else (text, ground)))

    def _color(self, number: int) -> ColorTriplet:
        if number >= TRUE_COLOR:
            rgb = number - TRUE_COLOR
            return ColorTriplet(rgb >> 16, rgb >> 8 & 0xFF, rgb & 0xFF)
        return self._palette[number] if number < 16 else Color.from_ansi(number).get_truecolor()


def _style(text: ColorTriplet, ground: ColorTriplet) -> Style:
    return Style(color=_color(text), bgcolor=_color(ground))


@lru_cache(maxsize=1024)
def _color(triplet: ColorTriplet) -> Color:
    return Color.from_triplet(triplet)


def _triplet(written: str, other: str) -> ColorTriplet:
    """A colour of a theme; `other` for one that is not written as #rrggbb."""
    text = written if len(written) == 7 and written[0] == "#" else other
    return ColorTriplet(*(int(text[at : at + 2], 16) for at in (1, 3, 5)))


def _contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    """WCAG 2.2's contrast ratio, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@lru_cache(maxsize=1024)
def _luminance(color: ColorTriplet) -> float:
    red, green, blue = ((part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4) for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
