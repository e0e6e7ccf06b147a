"""The terminal of a serial console. While `typing` every key goes to the guest, except the keys that detach.

It paints the lines that changed, at most thirty times a second, and spends at most 8 ms of each frame on what the guest
sends, so that keys are answered while a guest floods. No byte of the guest is painted as it is (see screen_rows).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from novacron_core.values.sizes import size_text
from novacron_tui.consoles.emulator import SCROLLBACK_LINES, TerminalEmulator, TerminalModes
from novacron_tui.consoles.input_keys import key_bytes
from novacron_tui.consoles.output_queue import OutputQueue
from novacron_tui.consoles.pasted_text import has_more_lines, pieces_of
from novacron_tui.consoles.screen_rows import CursorPosition
from novacron_tui.consoles.scrollback_view import CellAt, ScrollbackView
from novacron_tui.consoles.terminal_colors import TerminalColors
from novacron_tui.consoles.terminal_lines import PaintedLine, painted_strip
from novacron_tui.terminal.glyphs import FINE, Glyphs
from novacron_tui.widgets.cursor_keys import cursor_bindings
from novacron_tui.widgets.once import once

FRAME_S = 1 / 30
SKIPPED_S = 3.0
"""How long the last line says that output was skipped: the line in the output itself has left the screen by then."""
FEED_S = 0.008
"""Of each frame, for the guest's output."""
DETACH_KEYS = ("ctrl+right_square_bracket", "f12")
_PIECE_BYTES = 1 << 14


class TerminalView(Widget, can_focus=True):
    """`on_typed` gets what to send to the guest: keys, pasted text, and answers to its queries (if `answers`).

    The owner calls `feed` with what the guest sends, and sets `typing`. In view mode (not typing) keys go the usual way:
    the view's own ones scroll it, and what it does not know reaches the screen.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    TerminalView { background: $background; color: $foreground; height: 1fr; width: 1fr; }
    TerminalView > .terminal--cursor { text-style: reverse; }
    TerminalView > .terminal--cursor-away { background: $rule; text-style: underline; }
    TerminalView > .terminal--copy-cursor { background: $accent; color: $on-accent; }
    TerminalView > .terminal--selection { background: $cursor-ground; text-style: $cursor-style; }
    TerminalView > .terminal--match { background: $panel; color: $tone-warn; text-style: underline; }
    TerminalView > .terminal--match-current { background: $tone-warn; color: $on-accent; text-style: bold; }
    TerminalView > .terminal--note { background: $panel; color: $accent; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "terminal--cursor",
        "terminal--cursor-away",
        "terminal--copy-cursor",
        "terminal--selection",
        "terminal--match",
        "terminal--match-current",
        "terminal--note",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *cursor_bindings(
            up="move(0, -1)",
            down="move(0, 1)",
            left="move(-1, 0)",
            right="move(1, 0)",
            page_up="page(-1)",
            page_down="page(1)",
            home="edge(-1)",
            end="edge(1)",
        )
    ]
    typing: var[bool] = var(False)
    """Every key goes to the guest."""
    withheld: var[bool] = var(False)
    """Keys were meant for the guest, which does not get them: they go nowhere, or they would act on the VM, until a detach
    key or escape."""

    class Detached(Message):
        """A detach key was pressed while typing, which has ended."""

    class Withheld(Message):
        """A key, or pasted text, went nowhere."""

        def __init__(self, character: str) -> None:
            super().__init__()
            self.character = character

    class PasteAsked(Message):
        """Text of several lines was pasted: ask, and call `paste`."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Scrolled(Message):
        """What is shown, selected or found has changed otherwise than by output."""

    def __init__(
        self,
        on_typed: Callable[[bytes], None],
        *,
        glyphs: Glyphs = FINE,
        detach_keys: Sequence[str] = DETACH_KEYS,
        scrollback_lines: int = SCROLLBACK_LINES,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.on_typed = on_typed
        self.answers = True
        """Whether to answer the guest's queries: of several terminals at one guest only one may."""
        self.detach_keys = tuple(detach_keys)
        self.emulator = TerminalEmulator(scrollback_lines=scrollback_lines)
        self.view = ScrollbackView(self.emulator)
        self._glyphs = glyphs
        self._queue = OutputQueue()
        self._is_finished = True
        self._frame: Timer | None = None
        self._frame_at = 0.0
        self._skipped_note = ""
        self._skipped_timer: Timer | None = None
        self._outgoing: deque[bytes] = deque()
        self._pressed_detach = self.detach_keys[0] if self.detach_keys else ""
        self._painted: dict[int, PaintedLine] = {}
        self._colors: TerminalColors | None = None
        self._drag_from: CellAt | None = None

    # -- output of the guest -------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take bytes of the guest. They are shown within a frame; of a flood only the end is."""
        if not data:
            return
        self._queue.put(data)
        self._plan_frame()

    def note_skipped(self, size_bytes: int) -> None:
        """Say in the output that so many bytes of the guest were left out before what is fed next."""
        self._queue.skipped += size_bytes
        self._plan_frame()

    def clear(self) -> None:
        """Forget the screen and the scrollback, as for another guest."""
        self._queue.clear()
        self._is_finished = True
        self.emulator.clear()
        self.view.follow()
        self.view.end_search()
        self.view.end_copy()
        self.repaint()

    @property
    def idle(self) -> bool:
        """Whether everything that was fed is on the screen."""
        return self._is_finished and not self._queue and not self._queue.skipped

    def _plan_frame(self) -> None:
        if self._frame is None and self.is_mounted:
            wait = max(0.001, self._frame_at + FRAME_S - monotonic())
            self._frame = once(self, wait, self._show_frame)

    def _show_frame(self) -> None:
        """Feed the emulator for FEED_S, answer the guest, and paint."""
        self._frame, self._frame_at = None, monotonic()
        until = self._frame_at + FEED_S
        while (left := until - monotonic()) > 0:
            if not self._is_finished:
                self._is_finished = self.emulator.feed(b"", left)
            elif self._queue.skipped:
                self._say_skipped()
            elif piece := self._queue.take(_PIECE_BYTES):
                self._is_finished = self.emulator.feed(piece, left)
            else:
                break
        if (answers := self.emulator.take_answers()) and self.answers:
            self._send(answers)
        self.repaint(self.emulator.changed_rows())
        if self._queue or self._queue.skipped or not self._is_finished:
            self._plan_frame()

    def _say_skipped(self) -> None:
        self._skipped_note = f"{self._glyphs.cut} {size_text(self._queue.skipped)} skipped {self._glyphs.cut}"
        self._queue.skipped = 0
        self.emulator.note(self._skipped_note)
        if self._skipped_timer is not None:
            self._skipped_timer.stop()
        self._skipped_timer = once(self, SKIPPED_S, self._forget_skipped)

    def _forget_skipped(self) -> None:
        self._skipped_note, self._skipped_timer = "", None
        self.repaint()

    # -- keys ----------------------------------------------------------------------------------------------------------

    @property
    def takes_every_key(self) -> bool:
        """Whether keys must reach nothing but this widget (see TakesEveryKey)."""
        return (self.typing or self.withheld) and self.has_focus

    def take_key(self, key: events.Key) -> None:
        """Send a key to the guest, or detach."""
        if key.key in self.detach_keys or (key.key == "escape" and not self.typing):
            self._pressed_detach = key.key if key.key in self.detach_keys else self._pressed_detach
            self.typing = self.withheld = False
            self.post_message(self.Detached())
        elif self.typing:
            self._type(key.key, key.character)
        else:
            self.post_message(self.Withheld(key.character or ""))

    def take_paste(self, text: str) -> None:
        """Send pasted text, or ask whether to."""
        if not self.typing:
            self.post_message(self.Withheld(""))
        elif has_more_lines(text):
            self.post_message(self.PasteAsked(text))
        else:
            self.paste(text)

    def take_pasted_keys(self, keys: Sequence[events.Key]) -> None:
        """Keys that came faster than anybody types: text is pasted, and others are keys."""
        if all(key.is_printable or key.key in ("enter", "tab") for key in keys):
            self.take_paste("".join("\n" if key.key == "enter" else key.character or "" for key in keys))
            return
        for key in keys:
            self.take_key(key)

    def send_detach_key(self) -> None:
        """Type the detach key that was pressed last into the guest, and go on typing."""
        self.typing = True
        self._type(self._pressed_detach, None)

    def paste(self, text: str) -> None:
        """Send a text to the guest, in pieces between which the console answers keys."""
        self._show_end()
        waiting = bool(self._outgoing)
        self._outgoing.extend(pieces_of(text, bracketed=self.modes.bracketed_paste))
        if not waiting:
            self._send_next()

    def stop_paste(self) -> int:
        """Send nothing more of what is being pasted. Returns how many bytes that were."""
        size_bytes = sum(map(len, self._outgoing))
        self._outgoing.clear()
        return size_bytes

    @property
    def pasting(self) -> bool:
        """Whether pasted text waits to be sent."""
        return bool(self._outgoing)

    def size_command(self) -> str:
        """What tells a guest the size of this terminal: a serial line carries none."""
        columns, rows = self.emulator.size
        return f"stty rows {rows} cols {columns}\r"

    @property
    def modes(self) -> TerminalModes:
        """What the guest has asked for."""
        return self.emulator.modes

    def _type(self, key: str, character: str | None) -> None:
        modes = self.modes
        data = key_bytes(
            key, character, application_cursor=modes.application_cursor, application_keypad=modes.application_keypad
        )
        if data:
            self._show_end()
            self._send(data)

    def _send(self, data: bytes) -> None:
        """Send after what is being pasted."""
        if self._outgoing:
            self._outgoing.append(data)
        else:
            self.on_typed(data)

    def _send_next(self) -> None:
        if self._outgoing:
            self.on_typed(self._outgoing.popleft())
        if self._outgoing:
            once(self, 0.001, self._send_next)

    def _show_end(self) -> None:
        if not self.view.follows or self.view.selection is not None:
            self.view.follow()
            self.view.end_copy()
            self._changed()

    async def _on_key(self, event: events.Key) -> None:
        """For apps that do not ask for TakesEveryKey. Priority bindings of such an app still come first."""
        if self.takes_every_key:
            event.stop()
            event.prevent_default()
            self.take_key(event)

    def on_paste(self, event: events.Paste) -> None:
        if self.typing:
            event.stop()
            self.take_paste(event.text)

    # -- view mode -----------------------------------------------------------------------------------------------------

    def scroll_lines(self, lines: int) -> None:
        """Show so many lines further down, or up."""
        self.view.scroll(lines)
        self._changed()

    def scroll_pages(self, pages: int) -> None:
        """Show so many pages further down, or up; a line of the last page stays."""
        self.scroll_lines(pages * max(1, self.emulator.size[1] - 1))

    def scroll_to_edge(self, end: int) -> None:
        """Show the oldest lines (-1) or the end (1)."""
        self.view.show_line(self.emulator.first_line if end < 0 else self.emulator.top_line)
        self._changed()

    def search(self, text: str, *, backwards: bool = True) -> tuple[int, int]:
        """Find a text and show it; the same one again finds the next. Returns n of m, 0 of 0 without a match."""
        self.view.search(text, backwards=backwards)
        self._changed()
        return self.view.found

    def end_search(self) -> None:
        """Forget the search."""
        self.view.end_search()
        self._changed()

    def start_copy(self) -> None:
        """Begin copy mode: the view's keys move a cursor, and `mark` selects."""
        self.view.start_copy()
        self._changed()

    def mark(self, *, by_lines: bool = False) -> None:
        """In copy mode: begin to select by characters or lines, or end it."""
        self.view.mark(by_lines=by_lines)
        self._changed()

    def end_copy(self) -> None:
        """End copy mode, and forget the selection."""
        self.view.end_copy()
        self._changed()

    @property
    def copying(self) -> bool:
        """Whether copy mode is on."""
        return self.view.copy_cursor is not None

    def shown_text(self) -> str:
        """What is on the screen now, without blanks at the ends."""
        lines = [self.emulator.line(self.view.top + y) for y in range(self.size.height)]
        return "\n".join("".join(text for text, _ in line).rstrip() for line in lines).strip("\n")

    def selected_text(self) -> str:
        """What is selected; empty for nothing."""
        return self.view.selected_text()

    def action_move(self, columns: int, lines: int) -> None:
        if self.copying:
            self.view.move(columns, lines)
            self._changed()
        elif lines:
            self.scroll_lines(lines)

    def action_page(self, by: int) -> None:
        if self.copying:
            self.action_move(0, by * max(1, self.emulator.size[1] - 1))
        else:
            self.scroll_pages(by)

    def action_edge(self, end: int) -> None:
        if self.copying:
            self.action_move(0, end * (self.emulator.end_line - self.emulator.first_line))
        else:
            self.scroll_to_edge(end)

    def _changed(self) -> None:
        self.repaint()
        self.post_message(self.Scrolled())

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_lines(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_lines(3)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        if event.button == 1:
            self._drag_from = CellAt(self.view.top + event.y, event.x)
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag_from is not None:
            row = max(0, min(event.y, self.size.height - 1))
            self.view.select(self._drag_from, CellAt(self.view.top + row, max(0, event.x)))
            self._changed()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        self._drag_from = None
        self.release_mouse()

    # -- painting ------------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        self.emulator.resize(event.size.width, event.size.height)
        self._painted.clear()
        self.refresh()

    def on_mount(self) -> None:
        self._plan_frame()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._colors = None
        self._painted.clear()

    def watch_has_focus(self, _has_focus: bool) -> None:
        super().watch_has_focus(_has_focus)
        self.repaint()

    def watch_typing(self) -> None:
        self.repaint()

    def repaint(self, rows: Sequence[int] | None = None) -> None:
        """Paint the lines that look otherwise than when they were painted; only these `rows` of the screen have changed,
        if the end is shown."""
        if not self.is_mounted or not self.size:
            return
        every = range(self.size.height)
        candidates = every if rows is None or len(self._painted) < len(every) else {*rows, *self._special_rows()}
        for y in candidates:
            if y < self.size.height and self._painted.get(y) != self._line(y):
                self.refresh(Region(0, y, self.size.width, 1))

    def _special_rows(self) -> set[int]:
        """Rows that change without their text: of the cursor, now and before, and of the note."""
        spans = {y for y, line in self._painted.items() if line.spans or line.note}
        every = set(self._painted) if not self.view.follows else set()
        return spans | every | {self.emulator.cursor.row, self.size.height - 1}

    def render_line(self, y: int) -> Strip:
        line = self._painted[y] = self._line(y)
        part_style = self.get_component_rich_style
        return painted_strip(line, self.size.width, self._theme_colors(), lambda part: part_style(part, partial=True))

    def _line(self, y: int) -> PaintedLine:
        number = self.view.top + y
        row = self.emulator.line(number)
        spans = [(start, end, "terminal--match") for _, start, end in self.view.matches_of(row, number)]
        if self.view.current is not None and self.view.current.line == number:
            spans.append((*self.view.current[1:], "terminal--match-current"))
        if self.view.selection and (columns := self.view.selection.columns(number, self.size.width)):
            spans.append((*columns, "terminal--selection"))
        if (cursor := self._cursor_at(number)) is not None:
            spans.append((cursor[0], cursor[0] + 1, cursor[1]))
        note = self._note() if y == self.size.height - 1 else ""
        return PaintedLine(row, self.modes.reverse_screen, tuple(spans), note)

    def _cursor_at(self, line: int) -> tuple[int, str] | None:
        """The column of a cursor in this line, and how it looks."""
        if self.view.copy_cursor is not None:
            copying = self.view.copy_cursor
            return (copying.column, "terminal--copy-cursor") if copying.line == line else None
        cursor: CursorPosition = self.emulator.cursor
        if line != self.emulator.top_line + cursor.row or not self.modes.cursor_visible:
            return None
        return cursor.column, "terminal--cursor" if self.takes_every_key else "terminal--cursor-away"

    def _note(self) -> str:
        """What the last line says while the end is not shown, and after a flood."""
        if self.view.follows:
            return self._skipped_note
        new = f", {self.view.new_below:,} new" if self.view.new_below else ""
        return f"{self._glyphs.down} {self.view.below:,} lines below{new}"

    def _theme_colors(self) -> TerminalColors:
        if self._colors is None:
            theme = self.app.current_theme
            self._colors = TerminalColors(theme.name, self.app.theme_variables, dark=theme.dark)
            self.emulator.foreground, self.emulator.background = self._colors.foreground, self._colors.background
        return self._colors
