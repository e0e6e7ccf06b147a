"""What a terminal sends, between its bytes and Textual: a paste is text to its end, whatever it holds.

Textual's parser goes on looking for keys inside a bracketed paste, so what follows an escape character in it is
pressed instead of pasted; and a byte that is not UTF-8 ends it. Here a paste is cut out before that parser sees it.
It also takes a control sequence whose rest is late, as on a slow line, for keys that were pressed. Here it waits.
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
from io import TextIOWrapper
from time import monotonic
from typing import Any, TextIO, cast

from textual._xterm_parser import BRACKETED_PASTE_END as END
from textual._xterm_parser import BRACKETED_PASTE_START as START
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Paste
from textual.message import Message

from novacron_tui.terminal.safe_text import clean

MOST = 1 << 16
"""Characters of one paste that are taken; the rest is dropped. No field holds more."""
QUIET_S = 5.0
"""A paste of which nothing comes for so long has no end."""
LATE_S = 60.0
"""For so long after that its rest may still come."""
_LOOK_S = 0.1
_READ = 1 << 16
_SEEN = 32
"""Characters that Textual's parser looks back for a control sequence."""
_ENDINGS = (signal.SIGHUP, signal.SIGTERM)
_UNFINISHED = re.compile(r"\x1b\[[<?]?[\d;:]*\Z")
"""A control sequence that wants more. It can be no key; a lone escape character can."""
_ONE_KEY = re.compile(r"\x1b?(\[[<?]?[\d;:]*[A-Za-z~]|O.|.)?", re.DOTALL)
_MOUSE = re.compile(r"(\x1b\[<[\d;]+[Mm])+")


class PasteLost(Message):
    """A paste began and did not end: its text was dropped, and keys are keys again."""


class Keyboard:
    """Text as it comes from the terminal, in pieces of any size, in; keys, mouse and whole pastes out."""

    def __init__(self, parser: XTermParser, now: Callable[[], float] = monotonic) -> None:
        self._parser = parser
        self._now = now
        self._heard = now()
        self._late_until = 0.0
        self._last = ""
        """The last characters that the parser saw, as many as it looks back."""
        self._gave_up = False
        """The parser took the last escape character for the key."""
        self._pasting = False
        self._tail = ""
        """The last characters seen: they may be the beginning of a mark that the next piece ends."""
        self._taken: list[str] = []
        self._length = 0

    def feed(self, text: str) -> Iterator[Message]:
        """What this piece of text, after those before it, says."""
        self._heard = self._now()
        if self._heard < self._late_until:
            text = self._without_late(text)
        while text:
            mark = END if self._pasting else START
            at = (self._tail + text).find(mark)
            end = len(text) if at < 0 else at + len(mark) - len(self._tail)
            piece, text = text[:end], text[end:]
            self._tail = (self._tail + piece)[1 - len(mark) :] if at < 0 else ""
            if self._pasting:
                self._take(piece)
            elif at >= 0 and self._gave_up and len(piece) < len(mark):
                yield from self._keys(START)  # the rest of the mark would be keys to a parser that forgot its beginning
            else:
                yield from self._keys(piece)
            if at >= 0:
                if self._pasting:
                    yield from self._pasted()
                self._pasting = not self._pasting

    def tick(self) -> Iterator[Message]:
        """What a silence says: an escape character that nothing follows is the key, and a paste may have no end."""
        if self._pasting:
            if self._now() - self._heard >= QUIET_S:
                yield from self._lost()
        elif not _UNFINISHED.search(self._last):
            for message in self._parser.tick():
                self._gave_up = True
                yield message

    def close(self) -> None:
        """No more will come."""
        for _ in self._parser.feed(""):
            pass

    def _keys(self, text: str) -> Iterator[Message]:
        """The start of a paste is fed too, since it may come in pieces; the parser makes an empty paste of it.

        Until this program sets the terminal up, the terminal itself turns enter into a newline: what is typed while
        the program starts must be what it was.
        """
        self._last = (self._last + text)[-_SEEN:]
        self._gave_up = self._gave_up and "\x1b" not in text
        return (message for message in self._parser.feed(text.replace("\n", "\r")) if not isinstance(message, Paste))

    def _take(self, piece: str) -> None:
        """Keep as much as is wanted, and room for the mark that ends it."""
        if self._length < MOST + len(END):
            self._taken.append(piece[: MOST + len(END) - self._length])
        self._length += len(piece)

    def _pasted(self) -> Iterator[Message]:
        text = "".join(self._taken)[: min(self._length - len(END), MOST)]
        yield from self._ended()
        yield Paste(clean(text.replace("\r\n", "\n").replace("\r", "\n")))

    def _ended(self) -> Iterator[Message]:
        self._taken, self._length = [], 0
        return self._keys(END)

    def _lost(self) -> Iterator[Message]:
        """The line may only be slow: what still comes of this paste must not be pressed."""
        self._pasting, self._tail = False, ""
        self._late_until = self._now() + LATE_S
        yield from self._ended()
        yield PasteLost()

    def _without_late(self, text: str) -> str:
        """Without the rest of a paste that was given up: all up to its end, and what comes faster than by hand."""
        start, end = text.find(START), text.find(END)
        if end >= 0 and not 0 <= start < end:
            self._late_until = 0.0
            return text[end + len(END) :]
        if start >= 0:
            self._late_until = 0.0
            return text[start:]
        return text if _ONE_KEY.fullmatch(text) or _MOUSE.fullmatch(text) else ""


class TerminalDriver(LinuxDriver):
    """Textual's driver with this keyboard. A terminal that is gone, SIGHUP and SIGTERM end the console as leaving does;
    a second signal ends it at once."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert self._file is not None, "the console's output was closed"
        self._file = cast(TextIOWrapper, _Output(self._file))

    def start_application_mode(self) -> None:
        super().start_application_mode()  # type: ignore[no-untyped-call]
        for ending in _ENDINGS:
            asyncio.get_running_loop().add_signal_handler(ending, self._leave)

    def _sigcont_application(self, *_: Any) -> None:
        """Who was stopped by another (SIGSTOP) did not let go of the terminal: first that, or two would read its keys."""
        if self._auto_restart and self._key_thread is not None and not self._must_signal_resume:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()

    def _get_terminal_size(self) -> tuple[int, int]:
        """As it is now: COLUMNS and LINES in the environment are those of when the shell was asked, if at all."""
        try:
            size = os.get_terminal_size(self.fileno)
        except OSError:
            return super()._get_terminal_size()
        return size.columns, size.lines

    def _leave(self) -> None:
        for ending in _ENDINGS:
            asyncio.get_running_loop().remove_signal_handler(ending)
        self._app.exit()

    def run_input_thread(self) -> None:
        """Read the terminal until the driver stops or the terminal is closed."""
        keyboard = Keyboard(XTermParser(self._debug))
        decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_LOOK_S):
                    read = self._read()
                    if not read:
                        self._app.call_later(self._app.exit)
                        break
                    self._tell(keyboard.feed(decode(read)))
                self._tell(keyboard.tick())
        keyboard.close()

    def _read(self) -> bytes:
        try:
            return os.read(self.fileno, _READ)
        except OSError:
            return b""

    def _tell(self, messages: Iterator[Message]) -> None:
        for message in messages:
            self.process_message(message)


class _Output:
    """The terminal as a file; one that is gone takes nothing and stops nobody, or leaving would wait for it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()
