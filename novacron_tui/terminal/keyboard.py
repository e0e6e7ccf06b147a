"""Terminal input for Textual: a bracketed paste is always one text event, regardless of its content.

Textual's parser looks for keys inside a bracketed paste, so text after an escape character in it becomes key presses;
and a byte that is not UTF-8 ends it. Here a paste is extracted before that parser sees it. The parser also interprets
an incomplete control sequence, as on a slow connection, as key presses. Here the rest is awaited.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import re
import selectors
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from io import TextIOWrapper
from time import monotonic
from typing import Any, TextIO, cast

from textual._xterm_parser import BRACKETED_PASTE_END as END
from textual._xterm_parser import BRACKETED_PASTE_START as START
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Paste
from textual.message import Message

from novacron_tui.terminal.bursts import Bursts
from novacron_tui.terminal.capabilities import encoding_of, in_ascii
from novacron_tui.terminal.type_ahead import key_acts
from novacron_tui.terminal.whole_paste import WholePaste
from novacron_tui.terminal.window import KEEP_TITLE, RESTORE_TITLE, takes_title

MAX_KEPT_PASTE = 2 << 20
"""Maximum characters of a paste; the rest is dropped, and counted. A terminal takes so many (see WholePaste)."""
PASTE_TIMEOUT_S = 5.0
"""A paste without data for this long is considered incomplete."""
LATE_PASTE_S = 60.0
"""How long after that its rest may still arrive."""
_POLL_S = 0.1
_READ = 1 << 16
_LOOKBACK = 32
"""Characters that Textual's parser looks back for a control sequence."""
_END_SIGNALS = (signal.SIGHUP, signal.SIGTERM)
_UNFINISHED = re.compile(r"\x1b\[[<?]?[\d;:]*\Z")
"""An incomplete control sequence. Unlike a lone escape character it cannot be a key."""
_ONE_KEY = re.compile(r"\x1b?(\[[<?]?[\d;:]*[A-Za-z~]|O.|.)?", re.DOTALL)
_MOUSE = re.compile(r"(\x1b\[<[\d;]+[Mm])+")


class PasteLost(Message):
    """A paste was incomplete: its text was dropped, and input is treated as keys again."""


class Keyboard:
    """Converts text from the terminal, in pieces of any size, to key, mouse and paste events."""

    def __init__(self, parser: XTermParser, now: Callable[[], float] = monotonic) -> None:
        self._parser = parser
        self._now = now
        self._received_at = now()
        self._late_until = 0.0
        self._last = ""
        """The last _LOOKBACK characters passed to the parser."""
        self._escape_timed_out = False
        """The parser interpreted the last escape character as the key."""
        self._pasting = False
        self._tail = ""
        """The last characters: they may be the start of a mark that continues in the next piece."""
        self._taken: list[str] = []
        self._length = 0

    def feed(self, text: str) -> Iterator[Message]:
        """The events of the next piece of text."""
        self._received_at = self._now()
        if self._received_at < self._late_until:
            text = self._drop_late_paste(text)
        while text:
            mark = END if self._pasting else START
            at = (self._tail + text).find(mark)
            end = len(text) if at < 0 else at + len(mark) - len(self._tail)
            piece, text = text[:end], text[end:]
            self._tail = (self._tail + piece)[1 - len(mark) :] if at < 0 else ""
            if self._pasting:
                self._append(piece)
            elif at >= 0 and self._escape_timed_out and len(piece) < len(mark):
                yield from self._keys(
                    START
                )  # the parser no longer has the start of the mark and would interpret the rest as keys
            else:
                yield from self._keys(piece)
            if at >= 0:
                if self._pasting:
                    yield from self._finish_paste()
                self._pasting = not self._pasting

    def tick(self) -> Iterator[Message]:
        """The events of a silence: a lone escape character is the key, and a paste may be incomplete."""
        if self._pasting:
            if self._now() - self._received_at >= PASTE_TIMEOUT_S:
                yield from self._abandon_paste()
        elif not _UNFINISHED.search(self._last):
            for message in self._parser.tick():
                self._escape_timed_out = True
                yield message

    def close(self) -> None:
        """End of input."""
        for _ in self._parser.feed(""):
            pass

    def _keys(self, text: str) -> Iterator[Message]:
        """Pass text to the parser. This includes the start of a paste, since it may come in pieces; the parser makes an
        empty paste of it, which is dropped.

        Before the terminal is in raw mode it turns enter into a newline, so newlines typed during startup are turned
        back.
        """
        self._last = (self._last + text)[-_LOOKBACK:]
        self._escape_timed_out = self._escape_timed_out and "\x1b" not in text
        return (message for message in self._parser.feed(text.replace("\n", "\r")) if not isinstance(message, Paste))

    def _append(self, piece: str) -> None:
        """Store up to the maximum, plus room for the end mark."""
        if self._length < MAX_KEPT_PASTE + len(END):
            self._taken.append(piece[: MAX_KEPT_PASTE + len(END) - self._length])
        self._length += len(piece)

    def _finish_paste(self) -> Iterator[Message]:
        length = self._length - len(END)
        text = "".join(self._taken)[: min(length, MAX_KEPT_PASTE)]
        yield from self._end_paste()
        yield WholePaste(text.replace("\r\n", "\n").replace("\r", "\n"), max(0, length - MAX_KEPT_PASTE))

    def _end_paste(self) -> Iterator[Message]:
        self._taken, self._length = [], 0
        return self._keys(END)

    def _abandon_paste(self) -> Iterator[Message]:
        """Give up on a paste. The connection may just be slow: text of it that arrives later must not become key
        presses."""
        self._pasting, self._tail = False, ""
        self._late_until = self._now() + LATE_PASTE_S
        yield from self._end_paste()
        yield PasteLost()

    def _drop_late_paste(self, text: str) -> str:
        """Remove the rest of an abandoned paste: everything up to its end mark, and text that comes faster than
        typing."""
        start, end = text.find(START), text.find(END)
        if end >= 0 and not 0 <= start < end:
            self._late_until = 0.0
            return text[end + len(END) :]
        if start >= 0:
            self._late_until = 0.0
            return text[start:]
        return text if _ONE_KEY.fullmatch(text) or _MOUSE.fullmatch(text) else ""


class TerminalDriver(LinuxDriver):
    """Textual's driver with this keyboard. A closed terminal, SIGHUP and SIGTERM exit the console normally; a second
    signal ends it immediately."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self._file is not None, "the console's output was closed"
        self._encoding = encoding_of(self._file)
        if isinstance(self._file, TextIOWrapper) and codecs.lookup(self._file.encoding).name != self._encoding:
            self._file.reconfigure(encoding=self._encoding, errors="replace")
        plain = getattr(self._app, "ascii_only", False)
        self._file = cast(
            TextIOWrapper, _Output(self._file, partial(in_ascii, encoding=self._encoding) if plain else str)
        )

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        for end_signal in _END_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(end_signal, self._leave)

        if takes_title():
            self.write(KEEP_TITLE)

    def stop_application_mode(self) -> None:
        if takes_title():
            self.write(RESTORE_TITLE)
        super().stop_application_mode()

    def _sigcont_application(self, *_: Any) -> None:
        """After SIGSTOP the driver was not suspended: suspend it first, or two threads would read the keys."""
        if self._auto_restart and self._key_thread is not None and not self._must_signal_resume:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()

    def _get_terminal_size(self) -> tuple[int, int]:
        """The current size of the terminal. COLUMNS and LINES in the environment may be outdated."""
        try:
            size = os.get_terminal_size(self.fileno)
        except OSError:
            return super()._get_terminal_size()
        return size.columns, size.lines

    def _leave(self) -> None:
        for end_signal in _END_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(end_signal)
        self._app.exit()

    def run_input_thread(self) -> None:
        """Read the terminal until the driver stops or the terminal is closed."""
        keyboard = Keyboard(XTermParser(self._debug))
        bursts = Bursts(partial(key_acts, self._app))
        decode = codecs.getincrementaldecoder(self._encoding)(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_POLL_S if bursts.wait_s is None else min(_POLL_S, bursts.wait_s)):
                    read = self._read()
                    if not read:
                        self._app.call_later(self._app.exit)
                        break
                    self._dispatch(bursts.take(keyboard.feed(decode(read))))
                self._dispatch(bursts.take(keyboard.tick()))
                self._dispatch(bursts.tick())
        keyboard.close()

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _READ)
        except OSError:
            return b""

    def _dispatch(self, messages: Iterator[Message]) -> None:
        for message in messages:
            self.process_message(message)


class _Output:
    """The terminal as a file, with what makes all text drawable on it. Writes to a closed terminal are ignored, so that
    exiting does not block."""

    def __init__(self, file: TextIO, drawable: Callable[[str], str]) -> None:
        self._file = file
        self._drawable = drawable

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(self._drawable(text))

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()
