"""What the lists of advice and of decisions show alike."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_tui.terminal.glyphs import TIER_TONES, Glyphs
from novacron_tui.widgets.cells import Cell
from novacron_tui.widgets.text_bar import Piece


def move_cell(source: str, target: str, glyphs: Glyphs) -> Cell:
    """From which tier to which."""
    return (
        (f"{source:>4}", TIER_TONES.get(source, "plain")),
        (f" {glyphs.arrow} ", "quiet"),
        (target, TIER_TONES.get(target, "plain")),
    )


def unread(error: str, glyphs: Glyphs) -> Sequence[Piece]:
    """Instead of a list that was not read yet: why, if it failed."""
    if not error:
        return [Piece(f"{glyphs.work} reading…", "busy")]
    return [Piece(f"{glyphs.bad} {error}\n\n", "bad"), Piece("r", "key"), Piece(" tries again", "quiet")]
