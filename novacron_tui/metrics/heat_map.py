"""A cell for every VM, whose height and tone show its usage; the cursor selects one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from novacron_tui.connection.store import VMKey
from novacron_tui.widgets.cursor_keys import cursor_bindings
from novacron_tui.widgets.text_bar import Piece

LEVELS, PLAIN_LEVELS = "▁▂▃▄▅▆▇█", "_:-=+*%#"
NONE = "·"
WARM, HOT = 60, 85
"""Thresholds in percent."""


def legend(*, plain: bool) -> list[Piece]:
    """The legend of the cells."""
    levels = PLAIN_LEVELS if plain else LEVELS
    warm, hot = (levels[at * len(levels) // 100] for at in (WARM, HOT))
    return [
        Piece("Every VM's CPU  ", "accent"),
        Piece(f"{levels[0]} ", "good"),
        Piece("low  ", "quiet"),
        Piece(f"{warm} ", "warn"),
        Piece(f"{WARM}%  ", "quiet"),
        Piece(f"{hot} ", "bad"),
        Piece(f"{HOT}%", "quiet"),
    ]


class HeatMap(Widget, can_focus=True):
    """`show` takes (VM, percent or None) in drawing order. If they do not fit, the view scrolls with the cursor."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"heat--none", "heat--cool", "heat--warm", "heat--hot", "heat--cursor"}
    DEFAULT_CSS = """
    HeatMap { height: 1fr; }
    HeatMap > .heat--none { color: $tone-quiet; }
    HeatMap > .heat--cool { color: $tone-good; }
    HeatMap > .heat--warm { color: $tone-warn; }
    HeatMap > .heat--hot { color: $tone-bad; text-style: bold; }
    HeatMap > .heat--cursor { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *cursor_bindings(left="move(-1, 0)", right="move(1, 0)", up="move(0, -1)", down="move(0, 1)"),
        *cursor_bindings(home="edge(0)", end="edge(1)"),
        Binding("enter", "open", show=False),
    ]

    class Moved(Message):
        """The cursor has moved to another VM."""

    class Opened(Message):
        """Enter or a double click on a VM."""

    def __init__(self, *, plain: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._levels = PLAIN_LEVELS if plain else LEVELS
        self._none = "." if plain else NONE
        self._cells: list[tuple[VMKey, float | None]] = []
        self._at = 0
        self._top = 0

    def show(self, cells: Sequence[tuple[VMKey, float | None]]) -> None:
        """Show these cells; the cursor stays on its VM."""
        if list(cells) == self._cells:
            return
        here = self.vm
        before, self._cells = self._cells, list(cells)
        keys = [key for key, _ in self._cells]
        self._at = keys.index(here) if here in keys else min(self._at, max(0, len(keys) - 1))
        self._scroll_to_cursor()
        if len(before) == len(self._cells):
            self._refresh_lines({at // self._across for at, cell in enumerate(self._cells) if cell != before[at]})
        else:
            self.refresh()

    def restore_from(self, before: HeatMap) -> None:
        """Take over the cells and the cursor of another map."""
        self._cells, self._at = before._cells, before._at
        self._scroll_to_cursor()
        self.refresh()

    @property
    def vm(self) -> VMKey | None:
        """The VM under the cursor."""
        return self._cells[self._at][0] if self._cells else None

    @property
    def _across(self) -> int:
        return max(1, self.size.width)

    def action_move(self, x: int, y: int) -> None:
        self._move_to(self._at + x + y * self._across)

    def action_edge(self, end: int) -> None:
        self._move_to((len(self._cells) - 1) * end)

    def action_open(self) -> None:
        if self.vm is not None:
            self.post_message(self.Opened())

    def _move_to(self, at: int) -> None:
        if not 0 <= at < len(self._cells) or at == self._at:
            return
        before, self._at = self._at, at
        if self._scroll_to_cursor():
            self.refresh()
        else:
            self._refresh_lines({before // self._across, at // self._across})
        self.post_message(self.Moved())

    def _scroll_to_cursor(self) -> bool:
        """Scroll the cursor's line into view; True when the view moved."""
        line, top = self._at // self._across, self._top
        self._top = min(max(self._top, line - max(1, self.size.height) + 1), line)
        return self._top != top

    def _refresh_lines(self, lines: set[int]) -> None:
        shown = [line - self._top for line in lines if 0 <= line - self._top < self.size.height]
        self.refresh(*(Region(0, y, self.size.width, 1) for y in shown))

    def on_resize(self) -> None:
        self._scroll_to_cursor()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        self._move_to((event.y + self._top) * self._across + event.x)
        if event.chain == 2:
            self.action_open()

    def render_line(self, y: int) -> Strip:
        start = (y + self._top) * self._across
        segments = [self._segment(at) for at in range(start, min(start + self._across, len(self._cells)))]
        return Strip(segments).simplify().extend_cell_length(self._across, self.rich_style).apply_style(self.rich_style)

    def _segment(self, at: int) -> Segment:
        percent = self._cells[at][1]
        style = self._style(percent)
        if at == self._at and self.has_focus:
            style += self.get_component_rich_style("heat--cursor", partial=True)
        if percent is None:
            return Segment(self._none, style)
        level = min(len(self._levels) - 1, max(0, int(percent / 100 * len(self._levels))))
        return Segment(self._levels[level], style)

    def _style(self, percent: float | None) -> Style:
        part = "none" if percent is None else "cool" if percent < WARM else "warm" if percent < HOT else "hot"
        return self.get_component_rich_style(f"heat--{part}")

    def on_focus(self) -> None:
        self._refresh_lines({self._at // self._across})

    def on_blur(self) -> None:
        self._refresh_lines({self._at // self._across})
