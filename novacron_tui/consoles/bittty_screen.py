"""The screen that bittty keeps. No other module knows it.

bittty 0.3.0, https://github.com/bitplane/bittty, WTFPL with a disclaimer: one author, pure Python, three to nine times as
fast as pyte. It is imported when the first terminal is opened (0.1 s). Mended here, where it differs from xterm 407:
inserted, deleted and erased cells take the background alone; the alternate screen is cleared when it is entered; marks
that combine do not fill a cell of their own; rows that a lower screen has no room for go to the scrollback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from bittty import XTERM, Board
from bittty.options import EDITING
from bittty.present import RowsScrolledOff
from bittty.style import Style
from bittty.video import Video, WideHead
from rich.cells import get_character_cell_size

from novacron_tui.consoles.guest_screen import MAX_MARKS
from novacron_tui.consoles.screen_rows import (
    BOLD,
    CONCEAL,
    DEFAULT_COLOR,
    DIM,
    ITALIC,
    REVERSE,
    STRIKE,
    TRUE_COLOR,
    UNDERLINE,
    CellStyle,
    CursorPosition,
    ScreenRow,
    row_of,
)

_MODEL = replace(XTERM, options=frozenset(), control_capabilities=EDITING, reflows=True)
_MAX_STYLES = 4096


class _Widths:
    """Characters are as wide as they are painted by Textual. Stands in for bittty's WidthPolicy."""

    ambiguous_width = 1

    def width(self, char: str) -> int:
        return 2 if get_character_cell_size(char) == 2 else 1

    def grapheme_width(self, text: str) -> Literal[0, 1, 2]:
        return 2 if self.width(text[0]) == 2 else 1


class BitttyScreen:
    """See GuestScreen."""

    keeps_scrollback = True

    def __init__(self, columns: int, rows: int, on_scrolled: Callable[[ScreenRow], None]) -> None:
        self._on_scrolled = on_scrolled
        self._styles: dict[tuple[int, int, int], tuple[CellStyle, Style]] = {}
        self._board: Any = Board(width=columns, height=rows, model=_MODEL, width_policy=_Widths())
        self._board.attach_display(self)
        blitter = self._board.blitter
        self._board.registry.update(
            ECH=lambda op: self._erase_characters(op.args[0]),
            ICH=lambda op: blitter.insert_characters(op.args[0], self._board.style.background_ansi()),
            DCH=lambda op: self._delete_characters(op.args[0]),
        )
        self._seen = 0
        self._page: Any = None

    # -- called by bittty --------------------------------------------------------------------------------------------

    def present(self, event: object) -> None:
        """An event of the board: rows that have left the top of the main screen, or nothing of interest."""
        if isinstance(event, RowsScrolledOff):
            for line in event.lines:
                self._on_scrolled(row_of(line.cells, self._style))

    # -- writing -----------------------------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        parser = self._board.parser
        parser.feed(text)
        if parser.buffer:  # it took something for unfinished that is not
            parser.reset()

    def combine(self, mark: str) -> None:
        board = self._board
        cursor, page = board.cursor, board.blitter.current_page
        column = cursor.display_x if cursor.wrap_pending else cursor.display_x - 1
        if column < 0:
            return
        column = page.owner_x(column, cursor.y)
        style, text = page.grid[cursor.y][column]
        if text and text != " " and len(text) <= MAX_MARKS:
            marked = WideHead(text + mark) if isinstance(text, WideHead) else text + mark
            page.grid[cursor.y][column] = (style, marked)
            page.row_gen[cursor.y] = page.generation

    def repeat(self, count: int) -> None:
        """Within a line: more would let a few bytes fill many screens."""
        self._board.parser.feed(f"\x1b[{min(count, self._board.width)}b")

    def alternate(self, entered: bool, saving: bool) -> None:
        mode = 1049 if saving else 47
        self._board.parser.feed(f"\x1b[?{mode}h\x1b[2J" if entered else f"\x1b[?{mode}l")

    def reset(self) -> None:
        self._board.parser.reset()
        self._board.reset(hard=True)

    def _erase_characters(self, count: int) -> None:
        board = self._board
        cursor = board.cursor
        cursor.cancel_pending_wrap()
        end = min(cursor.x + count, board.width) - 1
        board.blitter.clear_rect(cursor.x, cursor.y, end, cursor.y, board.style.background_ansi())

    def _delete_characters(self, count: int) -> None:
        board = self._board
        blitter, cursor = board.blitter, board.cursor
        cursor.cancel_pending_wrap()
        if blitter.scroll_top <= cursor.y <= blitter.scroll_bottom:
            background = board.style.background_ansi()
            blitter._shift_line_segment(cursor.y, cursor.x, board.width - 1, count, background)

    # -- size ----------------------------------------------------------------------------------------------------------

    def resize(self, columns: int, rows: int) -> None:
        board, blitter = self._board, self._board.blitter
        main, cursor = blitter.primary_page, board.cursor
        saved = cursor.saved[False]
        row = saved.y if blitter.in_alt_screen else cursor.y
        if (above := row - rows + 1) > 0:  # bittty would cut rows at the bottom, the cursor's too
            self._push(main, above)
            row -= above
        if blitter.in_alt_screen:
            if (over := cursor.y - rows + 1) > 0:
                blitter.alt_page.scroll_region_up(0, board.height - 1, over)
                cursor.y -= over
            if columns != board.width:  # bittty wraps the main screen as if its cursor were at the top
                (column, row), cut = main.reflow(columns, board.height, (saved.x, row))
                for line in cut:
                    self._on_scrolled(row_of(line.cells, self._style))
                saved = replace(saved, x=column)
            cursor.saved[False] = replace(saved, y=row)
        else:
            cursor.y = row
        board.resize(columns, rows)
        self._page = None

    def _push(self, page: Video, count: int) -> None:
        """Scroll rows off the top of the main screen."""
        for row in page.grid[:count]:
            self._on_scrolled(row_of(row, self._style))
        page.scroll_region_up(0, page.height - 1, count)

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def cursor(self) -> CursorPosition:
        return CursorPosition(self._board.cursor.display_x, self._board.cursor.y)

    def row(self, at: int) -> ScreenRow:
        return row_of(self._board.blitter.main_page.grid[at], self._style)

    def changed_rows(self) -> list[int]:
        page = self._board.blitter.main_page
        rows: list[int] = page.dirty_rows(self._seen) if page is self._page else list(range(page.height))
        self._page, self._seen = page, page.observe()
        return rows

    def _style(self, style: Style) -> CellStyle:
        key = (style._val, id(style.fg), id(style.bg))  # its own hash is slow; what is kept below keeps the ids
        known = self._styles.get(key)
        if known is None:
            if len(self._styles) >= _MAX_STYLES:
                self._styles.clear()
            known = self._styles[key] = (_cell_style(style), style)
        return known[0]


def _cell_style(style: Style) -> CellStyle:
    flags = BOLD * bool(style.bold) | DIM * bool(style.dim) | ITALIC * bool(style.italic)
    flags |= UNDERLINE * bool(style.underline) | REVERSE * bool(style.reverse)
    flags |= CONCEAL * bool(style.conceal) | STRIKE * bool(style.strike)
    return CellStyle(_color(style.fg), _color(style.bg), flags)


def _color(color: Any) -> int:
    if color is None or color.mode == "default":
        return DEFAULT_COLOR
    if color.mode == "indexed":
        return int(color.value)
    red, green, blue = map(int, color.value)
    return TRUE_COLOR + (red << 16) + (green << 8) + blue
