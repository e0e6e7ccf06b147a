"""The terminal emulator of a serial console: what a guest sends in, rows of styled text out.

Nothing that a guest sends raises, takes memory without a bound, or makes the answers contain text that it has chosen.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import NamedTuple

from novacron_tui.consoles.guest_screen import GuestScreen, MakeScreen
from novacron_tui.consoles.guest_stream import MOUSE_MODES, GuestStep, GuestStream
from novacron_tui.consoles.screen_rows import CursorPosition, ScreenRow
from novacron_tui.terminal.safe_text import one_line

SCROLLBACK_LINES = 5000
MAX_COLUMNS, MAX_ROWS = 500, 200
MAX_TITLE = 100
ANSWERS_PER_S = 50
"""More answers within a second are dropped: a guest that asks in a loop must not keep the line busy."""
_ANSWERS = {
    "attributes": "\x1b[?62;22c",  # a VT220 with colours, as xterm says it
    "version": "\x1b[>1;10;0c",
    "status": "\x1b[0n",
}
_ALTERNATE_MODES = frozenset({47, 1047, 1049})
_log = logging.getLogger(__name__)


class TerminalModes(NamedTuple):
    """What the guest has asked for. `mouse_wanted`: it would like to be told of the mouse."""

    application_cursor: bool = False
    application_keypad: bool = False
    bracketed_paste: bool = False
    alternate_screen: bool = False
    mouse_wanted: bool = False
    cursor_visible: bool = True
    reverse_screen: bool = False


def open_screen(columns: int, rows: int, on_scrolled: Callable[[ScreenRow], None]) -> GuestScreen:
    """bittty's screen; pyte's where bittty cannot be imported. Raises ImportError when there is neither."""
    try:
        from novacron_tui.consoles.bittty_screen import BitttyScreen  # 0.1 s: imported with the first terminal
    except ImportError:
        from novacron_tui.consoles.pyte_screen import PyteScreen

        return PyteScreen(columns, rows, on_scrolled)
    return BitttyScreen(columns, rows, on_scrolled)


class TerminalEmulator:
    """Lines are numbered from the first one that the guest ever wrote: `first_line` is the oldest in the scrollback,
    `top_line` is the first row of the screen, and the line before `end_line` its last.

    `scrollback_lines` bounds the scrollback; `now` is in seconds. `foreground` and `background` (red, green, blue) are
    what a guest is told that asks for its colours.
    """

    def __init__(
        self,
        columns: int = 80,
        rows: int = 24,
        *,
        scrollback_lines: int = SCROLLBACK_LINES,
        make_screen: MakeScreen = open_screen,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._make_screen = make_screen
        self._now = now
        self._columns, self._rows = _bounded(columns, rows)
        self._stream = GuestStream()
        self._history: deque[ScreenRow] = deque(maxlen=max(0, scrollback_lines))
        self._scrolled = 0
        self._screen = make_screen(self._columns, self._rows, self._keep)
        self._all_changed = True
        self._unfinished: Iterator[GuestStep] = iter(())
        self._answers: list[str] = []
        self._answer_times: deque[float] = deque(maxlen=ANSWERS_PER_S)
        self.title = ""
        self.bells = 0
        self.faults = 0
        """How often the emulator had to be reset because it failed on what a guest sent."""
        self.foreground: tuple[int, int, int] = (205, 214, 224)
        self.background: tuple[int, int, int] = (16, 20, 27)

    # -- what the guest sends --------------------------------------------------------------------------------------------

    def feed(self, data: bytes, within_s: float = math.inf) -> bool:
        """Take the next bytes of the guest, cut anywhere. Never raises.

        Returns False when `within_s` was not enough: `feed(b"", within_s)` goes on, and further bytes wait for it.
        """
        until = self._now() + within_s
        if data:
            for step in self._unfinished:
                self._try(step)
            self._unfinished = self._stream.steps(data)
        for step in self._unfinished:
            self._try(step)
            if self._now() >= until:
                return False
        self._unfinished = iter(())
        return True

    def _try(self, step: GuestStep) -> None:
        try:
            self._take(step)
        except Exception as e:  # noqa: BLE001 - a fault of the emulator on bytes of a hostile guest must not end the console
            self._restart(e)

    def _take(self, step: GuestStep) -> None:
        kind = step.kind
        if kind == "write":
            self._screen.write(step.text)
        elif kind == "combine":
            self._screen.combine(step.text)
        elif kind == "repeat":
            self._screen.repeat(step.number)
        elif kind == "bell":
            self.bells += 1
        elif kind == "title":
            self.title = one_line(step.text)[:MAX_TITLE]
        elif kind == "query":
            self._answer(step)
        elif kind == "alternate":
            self._all_changed = True
            self._screen.alternate(bool(step.number), bool(step.text))
        elif kind == "forget":
            self._history.clear()
        elif kind == "reset":
            self._all_changed = True
            self._screen.reset()

    def _restart(self, error: Exception) -> None:
        self.faults += 1
        _log.warning("the terminal emulator failed and was reset: %s", type(error).__name__)
        self._stream.reset()
        self._screen = self._make_screen(self._columns, self._rows, self._keep)
        self._all_changed = True

    def note(self, text: str) -> None:
        """Write a quiet line of ours into the output, where bytes of the guest are missing. A program that has the whole
        screen draws it anew sooner or later: there nothing is written."""
        self.feed(b"\x18")  # ends a sequence that may be cut
        if self.modes.alternate_screen:
            return
        fresh = "" if self._screen.cursor.column == 0 else "\r\n"
        self._try(GuestStep("write", f"\x1b[m\x1b(B\x0f{fresh}\x1b[2m{one_line(text)}\x1b[m\r\n"))

    def _keep(self, row: ScreenRow) -> None:
        self._history.append(row)
        self._scrolled += 1

    # -- answers -----------------------------------------------------------------------------------------------------------

    def take_answers(self) -> bytes:
        """What to send to the guest, which has asked for it. ASCII, at most some KiB, and made of our numbers only."""
        answers = "".join(self._answers).encode("ascii")
        self._answers.clear()
        return answers

    def _answer(self, step: GuestStep) -> None:
        answer = self._answer_to(step)
        now = self._now()
        times = self._answer_times
        if not answer or (len(times) == ANSWERS_PER_S and now - times[0] < 1.0) or len(self._answers) >= ANSWERS_PER_S:
            return
        times.append(now)
        self._answers.append(answer)

    def _answer_to(self, step: GuestStep) -> str:
        if step.text in ("position", "extended position"):
            column, row = self._screen.cursor
            return f"\x1b[{'?' if step.text != 'position' else ''}{row + 1};{column + 1}R"
        if step.text == "size":
            return f"\x1b[{step.number - 10};{self._rows};{self._columns}t"
        if step.text in ("foreground", "background"):
            number, color = (10, self.foreground) if step.text == "foreground" else (11, self.background)
            return f"\x1b]{number};rgb:{'/'.join(f'{part:02x}{part:02x}' for part in color)}\x1b\\"
        if step.text == "mode":
            known = step.number in (1, 25, 66, 2004) or step.number in MOUSE_MODES
            return f"\x1b[?{step.number};{1 if step.number in self._stream.modes else 2}$y" if known else ""
        return _ANSWERS.get(step.text, "")

    # -- what the operator sees --------------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self._columns, self._rows

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, within MAX_COLUMNS and MAX_ROWS."""
        columns, rows = _bounded(columns, rows)
        if (columns, rows) == self.size:
            return
        self._columns, self._rows = columns, rows
        self._all_changed = True
        try:
            self._screen.resize(columns, rows)
        except Exception as e:  # noqa: BLE001 - as for feed: the screen's content is the guest's
            self._restart(e)

    def clear(self) -> None:
        """Forget the screen, the scrollback, the modes and the title."""
        self._unfinished = iter(())
        self._stream.reset()
        self._screen.reset()
        self._scrolled += self._rows
        self._history.clear()
        self._answers.clear()
        self.title = ""
        self._all_changed = True

    @property
    def cursor(self) -> CursorPosition:
        """The cursor's cell on the screen."""
        return self._screen.cursor

    @property
    def modes(self) -> TerminalModes:
        """What the guest has asked for."""
        modes = self._stream.modes
        return TerminalModes(
            application_cursor=1 in modes,
            application_keypad=66 in modes,
            bracketed_paste=2004 in modes,
            alternate_screen=bool(modes & _ALTERNATE_MODES),
            mouse_wanted=bool(modes & MOUSE_MODES),
            cursor_visible=25 in modes,
            reverse_screen=5 in modes,
        )

    @property
    def first_line(self) -> int:
        """The oldest line that is kept."""
        return self._scrolled - len(self._history)

    @property
    def top_line(self) -> int:
        """The line in the first row of the screen."""
        return self._scrolled

    @property
    def end_line(self) -> int:
        """One more than the number of the last line."""
        return self._scrolled + self._rows

    def line(self, number: int) -> ScreenRow:
        """A line; an empty one where there is none (any more)."""
        if number >= self._scrolled:
            return self._screen.row(number - self._scrolled) if number < self.end_line else ()
        at = number - self.first_line
        return self._history[at] if at >= 0 else ()

    def changed_rows(self) -> list[int]:
        """The rows of the screen that may have changed since this was last asked, in order."""
        rows = self._screen.changed_rows()
        if self._all_changed:
            self._all_changed = False
            return list(range(self._rows))
        return rows


def _bounded(columns: int, rows: int) -> tuple[int, int]:
    return max(2, min(columns, MAX_COLUMNS)), max(1, min(rows, MAX_ROWS))
