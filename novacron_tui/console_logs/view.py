"""The lines of a log: only those in sight are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.events import MouseScrollUp
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from novacron_core.rules.filters.language import fold


class LogView(ScrollView, can_focus=True):
    """A cursor on a line, marked lines, and the lines that contain what is searched. At the end it follows the log."""

    DEFAULT_CSS = """
    LogView { height: 1fr; padding: 0 1; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; overflow-x: auto; }
    LogView > .log--cursor { background: $panel; }
    LogView > .log--marked { color: $accent; }
    LogView > .log--found { color: $tone-warn; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--cursor", "log--marked", "log--found"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "to_begin", show=False),
        Binding("end,G", "to_end", show=False),
        Binding("left,h", "scroll_left", show=False),
        Binding("right,l", "scroll_right", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(id="log")
        self.lines: Sequence[str] = []
        self.cursor = 0
        self.marked: set[int] = set()
        self.follows = True
        self.word = ""
        self._longest, self._measured = 0, 0

    def show(self, lines: Sequence[str], dropped: int = 0) -> None:
        """Show these lines; `dropped` of those before are gone from the begin."""
        self.lines = lines
        if dropped:
            self.cursor = max(0, self.cursor - dropped)
            self.marked = {at - dropped for at in self.marked if at >= dropped}
        if len(lines) < self._measured or dropped:
            self._longest = self._measured = 0
        new = max(map(len, lines[max(0, self._measured - 1) :]), default=0)
        self._longest, self._measured = max(self._longest, new), len(lines)
        self.virtual_size = Size(self._longest, len(lines))
        if self.follows:
            self.cursor = max(0, len(lines) - 1)
            self.scroll_end(animate=False, immediate=True, x_axis=False)
        self.cursor = min(self.cursor, max(0, len(lines) - 1))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        at, width = top + y, self.scrollable_content_region.width
        if at >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        line, style = self.lines[at], self.rich_style
        if self.word and self.word in fold(line):
            style += self.get_component_rich_style("log--found", partial=True)
        if at in self.marked:
            style += self.get_component_rich_style("log--marked", partial=True)
        if at == self.cursor:
            style += self.get_component_rich_style("log--cursor", partial=True)
        return Strip([Segment(line, style)]).crop_extend(left, left + width, style)

    # -- moving ------------------------------------------------------------------------------------------------------

    def go(self, at: int) -> None:
        """Put the cursor on a line. On the last one the view follows what is printed."""
        self.cursor = min(max(0, at), max(0, len(self.lines) - 1))
        self.follows = self.cursor >= len(self.lines) - 1
        self.scroll_to_region(Region(self.scroll_offset.x, self.cursor, 1, 1), animate=False, immediate=True)
        self.refresh()

    def action_move(self, by: int) -> None:
        self.go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.go(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def action_to_begin(self) -> None:
        self.go(0)

    def action_to_end(self) -> None:
        self.go(len(self.lines) - 1)

    def _on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self.follows = False
        super()._on_mouse_scroll_up(event)

    # -- searching and marking ---------------------------------------------------------------------------------------

    def find(self, word: str, by: int = 0) -> bool:
        """Go to the next line (`by` 1), the one before (-1), or this or the next one (0) with this text. False: none."""
        self.word = fold(word)
        self.refresh()
        count = len(self.lines)
        if not self.word or not count:
            return False
        begin = self.cursor + by
        for step in range(count):
            at = (begin + step * (by or 1)) % count
            if self.word in fold(self.lines[at]):
                self.go(at)
                return True
        return False

    def toggle_mark(self) -> None:
        """Mark the line under the cursor, or unmark it, and go to the next."""
        if self.lines:
            self.marked ^= {self.cursor}
            self.go(self.cursor + 1)

    def chosen(self) -> list[str]:
        """The marked lines, or else all of them."""
        return [self.lines[at] for at in sorted(self.marked) if at < len(self.lines)] or list(self.lines)
