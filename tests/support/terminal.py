"""A program in a pseudo-terminal, read through a terminal emulator: what an operator types and sees."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from types import TracebackType

import pyte

from novacron_tui.terminal.type_ahead import REACTION_S
from tests.support.fair_clock import fair_now

KEYS = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "enter": "\r",
    "esc": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "space": " ",
    "backspace": "\x7f",
    "pagedown": "\x1b[6~",
    "pageup": "\x1b[5~",
    "home": "\x1b[H",
    "end": "\x1b[F",
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}


class NotSeen(AssertionError):
    """The expected text did not appear on the screen; contains the screen."""


class Terminal:
    """Runs a command at a size. Use as a context manager; the program is ended with it.

    `began` and the times that `see` returns are on time.monotonic()'s clock. `received` counts bytes, `written` has them.
    """

    def __init__(
        self, command: list[str], *, columns: int = 120, rows: int = 40, environment: dict[str, str] | None = None
    ) -> None:
        self.command = command
        self.columns, self.rows = columns, rows
        self.written = bytearray()
        self.ended = False
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._environment = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LINES": str(rows),
            "COLUMNS": str(columns),
            **(environment or {}),
        }
        self._environment.pop("TMUX", None)

    def __enter__(self) -> Terminal:
        self.began = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))
            os.execvpe(self.command[0], self.command, self._environment)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.ended:
            os.kill(self.pid, signal.SIGTERM)
            self.wait_end(5.0)
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    # -- typing --------------------------------------------------------------------------------------------------

    def press(self, *keys: str) -> float:
        """Press keys, by name or as text, each once the screen has settled. Returns when the last one was sent."""
        at = time.monotonic()
        for key in keys:
            at = time.monotonic()
            os.write(self._fd, KEYS.get(key, key).encode())
            self.settle(0.2 if key == "esc" else 0.08)  # a key soon after Escape would be read as Alt plus that key
        return at

    def send(self, key: str) -> float:
        """Press one key without waiting. Returns when it was sent."""
        at = time.monotonic()
        os.write(self._fd, KEYS.get(key, key).encode())
        return at

    def settle(self, quiet_s: float = 0.08, at_most_s: float = 1.0) -> None:
        """Read until nothing has arrived for a moment."""
        deadline = time.monotonic() + at_most_s
        while time.monotonic() < deadline and self.read(quiet_s):
            pass

    def react(self) -> None:
        """Read as long as an operator needs at least to read what has just appeared."""
        seen_at = time.monotonic()
        while (left := seen_at + 1.5 * REACTION_S - time.monotonic()) > 0:
            self.read(left)

    def burst(self, text: str) -> None:
        """Send everything in one write, as a slow connection delivers keys that were typed meanwhile."""
        os.write(self._fd, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Resize the terminal. The program gets SIGWINCH, and the emulator's screen is cleared."""
        self.columns, self.rows = columns, rows
        self.screen.resize(rows, columns)
        self.screen.reset()
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def click(self, text: str) -> None:
        """Press and release the left button on the first occurrence of the text. Raises NotSeen."""
        row, line = next(((y, line) for y, line in enumerate(self.screen.display, 1) if text in line), (0, ""))
        if not row:
            raise NotSeen(f"{text!r} is not on\n{self.text()}")
        column = line.index(text) + 1
        self.burst(f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m")
        self.settle()

    def hang_up(self) -> None:
        """Close the terminal under the program."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDWR)

    def write(self, data: bytes) -> None:
        """Write many bytes as fast as the program reads them: a pty buffers few, so its output is read meanwhile."""
        os.set_blocking(self._fd, False)
        try:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:
                    self.read(0.01)
        finally:
            os.set_blocking(self._fd, True)

    def type(self, text: str) -> None:
        """Type text as single keys without pauses, and then pause: a key that follows at once would be pasted with it."""
        for character in text:
            os.write(self._fd, character.encode())
            self.read(0.005)
        self.settle()

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._fd)[3] & termios.ECHO)

    # -- looking -------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(self.screen.display)

    def line(self, pattern: str) -> str:
        """The first line on the screen that matches. Raises NotSeen."""
        for line in self.screen.display:
            if re.search(pattern, line):
                return line
        raise NotSeen(f"no line matches {pattern!r} on\n{self.text()}")

    def see(self, pattern: str, timeout_s: float = 20.0) -> float:
        """Wait until the screen matches; returns when it first did. Raises NotSeen with the screen."""
        wanted = re.compile(pattern)
        deadline = fair_now() + timeout_s
        while True:
            if wanted.search(self.text()):
                return time.monotonic()
            left = deadline - fair_now()
            if left <= 0 or self.ended:
                raise NotSeen(f"{pattern!r} was not seen within {timeout_s:.0f} s on\n{self.text()}")
            self.read(min(left, 0.25))

    def see_no(self, pattern: str, timeout_s: float = 20.0) -> None:
        """Wait until nothing on the screen matches."""
        deadline = fair_now() + timeout_s
        while re.search(pattern, self.text()):
            if fair_now() > deadline or self.ended:
                raise NotSeen(f"{pattern!r} is still on\n{self.text()}")
            self.read(0.1)

    @property
    def received(self) -> int:
        return len(self.written)

    def read(self, timeout_s: float) -> int:
        """Read the program's output, waiting at most `timeout_s` for it. Returns the number of bytes."""
        data = self.receive(timeout_s)
        if data:
            self.feed(data)
        return len(data)

    def receive(self, timeout_s: float) -> bytes:
        """Take the program's output as `read` does, but do not show it: the emulator is slower than many programs."""
        ready, _, _ = select.select([self._fd], [], [], max(0.0, timeout_s))
        if not ready:
            return b""
        try:
            data = os.read(self._fd, 1 << 18)
        except OSError:
            data = b""
        if not data:
            self.wait_end(1.0)
        return data

    def feed(self, data: bytes) -> None:
        """Feed the program's output to the emulator."""
        self._stream.feed(data)
        self.written += data

    def wait_end(self, timeout_s: float) -> int | None:
        """Wait for the program to end. Returns its exit code, None if it is still running."""
        deadline = time.monotonic() + timeout_s
        while not self.ended:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = True
                self.code = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > deadline:
                return None
            self._drain()
        return self.code

    def _drain(self) -> None:
        """Keep reading while waiting for the end, because a full pty would block the program."""
        ready, _, _ = select.select([self._fd], [], [], 0.02)
        if ready:
            try:
                self.feed(os.read(self._fd, 1 << 18))
            except OSError:
                time.sleep(0.02)
