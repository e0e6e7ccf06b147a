"""QR codes in a terminal: dark on light whatever its theme, because not every reader takes inverted ones."""

from __future__ import annotations

_BORDER = 2
_DARK, _LIGHT = 16, 231
"""Black and white of the 256 colours, which no theme changes."""
_HEX = ("#ffffff", "#000000")
"""The colours of a light and of a dark module."""


def cells(text: str, *, ascii_only: bool = False) -> list[list[tuple[str, str]]]:
    """The rows of the QR code of `text` as runs of (characters, style), with as few modules as its text takes: a screen
    shows each of them undamaged."""
    import segno

    rows = [list(row) for row in segno.make(text, micro=False, error="l").matrix_iter(border=_BORDER)]
    if ascii_only:
        return [[("  ", f"{_HEX[module]} on {_HEX[module]}") for module in row] for row in rows]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    return [
        [("▀", f"{_HEX[above]} on {_HEX[below]}") for above, below in zip(*pair, strict=True)]
        for pair in zip(rows[::2], rows[1::2], strict=True)
    ]


def drawn(text: str, *, ascii_only: bool = False) -> list[str]:
    """The lines of the QR code of `text`: two modules a cell, one above the other; with `ascii_only` each in two cells."""
    import segno

    rows = [list(row) for row in segno.make(text, micro=False, error="m").matrix_iter(border=_BORDER)]
    if ascii_only:
        return [_line([(f"\x1b[48;5;{_color(module)}m", "  ") for module in row]) for row in rows]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return [_line([_cell(above, below) for above, below in zip(*pair, strict=True)]) for pair in pairs]


def _cell(above: int, below: int) -> tuple[str, str]:
    return f"\x1b[38;5;{_color(above)};48;5;{_color(below)}m", "▀"


def _line(cells: list[tuple[str, str]]) -> str:
    pieces, style = [], ""
    for wanted, text in cells:
        pieces += [wanted, text] if wanted != style else [text]
        style = wanted
    return "".join([*pieces, "\x1b[0m"])


def _color(module: int) -> int:
    return _DARK if module else _LIGHT
