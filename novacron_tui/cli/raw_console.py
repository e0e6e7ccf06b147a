"""`novacron console`: a VM's serial console in this terminal, byte by byte, until the detach key.

The terminal is the emulator here, so it gets the guest's bytes as they are, as `virsh console` and ssh give them. Only what
would make it answer old questions is left out of what was printed earlier. Messages of novacron go to stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from novacron_core import errors
from novacron_core.api import consoles as api
from novacron_core.api.vms import VM
from novacron_core.client import Client, Disconnected
from novacron_core.client.consoles import ConsoleClient, ConsoleOutput
from novacron_core.values.sizes import size_text
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.lookup import find_vm
from novacron_tui.cli.runtime.output import shown
from novacron_tui.consoles.detach_keys import DetachKey, detach_key
from novacron_tui.terminal.window import KEEP_TITLE, RESTORE_TITLE, takes_title

_AGAIN_S = 0.5
"""Within this time the detach key once more is typed into the guest; after it, it detaches."""
_QUIET_S = 1.0
"""After the end of a piped input: how long nothing may be printed before the command ends."""
_MAX_WAITING = 64 * 1024
"""Bytes that are read ahead of what the guest has read."""
_QUESTIONS = re.compile(
    rb"\x05|\x1b\[[>=?]?[0-9;]*[cnt]|\x1b\[[0-9;]*x|\x1b\[\?[0-9;]*\$p|\x1b\][^\x07\x1b]*\?[^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\"
)
"""What makes a terminal answer: its answer would be typed into the guest, at another prompt than the one that asked."""
_RESTORE = b"\x1b[0m\x1b[?1l\x1b>\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b7\x1b[r\x1b8"
"""The scrolling region between saving and restoring the cursor: to reset it moves the cursor to the top."""
_STATES = {
    api.LineState.OFF: "waiting for the VM to start",
    api.LineState.HELD: "another program has the console; --force takes it",
    api.LineState.UNAVAILABLE: "waiting for the host",
}


@dataclass(frozen=True)
class ConsoleOptions:
    """The flags of the command. `log` gets a copy of what is printed."""

    read_only: bool = False
    take_over: bool = False
    force: bool = False
    send_size: bool = False
    log: Path | None = None


async def run(client: Client, name: str, options: ConsoleOptions) -> int | None:
    """Follow the console until the operator detaches. Raises NovaCronError when it ends otherwise."""
    try:
        key = detach_key()
    except ValueError as e:
        raise UsageError(str(e)) from e
    vm = await find_vm(client, name)
    with _log_file(options.log) as log:
        terminal = _RawConsole(client, vm, options, key, log)
        with _raw_terminal(), terminal.listening():
            await terminal.run()
    return None


@dataclass
class _RawConsole:
    client: Client
    vm: VM
    options: ConsoleOptions
    detach: DetachKey
    log: BinaryIO | None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _open: bool = False
    _input_ended: bool = False
    _reads_file: bool = False
    _detaching: asyncio.TimerHandle | None = None
    _replayed_until: int = 0
    _printed_at: float = 0.0
    _said: str = ""
    _forced: bool = False
    _alternate: bool = False
    _error: errors.NovaCronError | None = None

    def __post_init__(self) -> None:
        self.console = ConsoleClient(self.client, self.vm.id, write=not self.options.read_only)

    async def run(self) -> None:
        if sys.stdout.isatty() and takes_title():
            await _write(KEEP_TITLE.encode())  # guests set it
        following = asyncio.create_task(self._follow(), name="console")
        ending = asyncio.create_task(self._end_of_input(), name="end of input")
        try:
            await self._over.wait()
        finally:
            for task in (following, ending):
                task.cancel()
            await asyncio.gather(following, ending, return_exceptions=True)
            if sys.stdout.isatty():
                title = RESTORE_TITLE.encode() if takes_title() else b""
                await _write((b"\x1b[?1049l" if self._alternate else b"") + _RESTORE + title + b"\r\n")
        if self._error is not None:
            raise self._error
        _say("left the console")

    # -- output ----------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        try:
            async for update in self.console.updates():
                if isinstance(update, ConsoleOutput):
                    await self._print(update)
                elif isinstance(update, api.ConsoleHello):
                    self._replayed_until = update.end
                    self._greet(update)
                elif isinstance(update, api.ConsoleLine):
                    self._tell_state(update.state, update.detail)
                elif isinstance(update, api.ConsoleWriter):
                    self._tell_writer(update)
                elif isinstance(update, api.ConsoleSkipped):
                    _say(f"{size_text(update.bytes)} skipped: this connection is slower than the guest")
                elif isinstance(update, Disconnected):
                    self._tell(f"{update.reason}; reconnecting")
                else:
                    self._tell(update.problem.sentence + (f"; {size_text(update.lost)} lost" if update.lost else ""))
        except errors.NovaCronError as e:
            self._error = e
        except OSError as e:
            self._error = errors.Internal(f"cannot write: {e.strerror or e}")
        finally:
            self._over.set()

    async def _print(self, output: ConsoleOutput) -> None:
        data = output.data
        if self.log is not None:
            await asyncio.to_thread(self.log.write, data)
        begins = output.at - len(data)
        if begins < self._replayed_until and sys.stdout.isatty():
            old = self._replayed_until - begins
            data = _QUESTIONS.sub(b"", data[:old]) + data[old:]
        entered, left = data.rfind(b"\x1b[?1049h"), data.rfind(b"\x1b[?1049l")
        if entered != left:
            self._alternate = entered > left
        await _write(data)
        self._printed_at = asyncio.get_running_loop().time()
        self.console.confirm(output.at)

    def _greet(self, hello: api.ConsoleHello) -> None:
        name = shown(self.vm.name)
        self._tell(f"console of {name}: {self.detach.label} leaves it, pressed twice it is typed")
        self._tell_state(hello.state, hello.detail)
        if hello.writer is not None and hello.writer.follower != hello.follower and not self.options.read_only:
            if self.options.take_over:
                self.console.take(hello.writer.follower)
            else:
                self._tell(f"{shown(hello.writer.name)} is typing: you only read; --take-over takes over")
        if self.options.send_size and sys.stdout.isatty() and hello.state is api.LineState.OPEN:
            columns, rows = os.get_terminal_size(sys.stdout.fileno())
            self.console.type(f"stty rows {rows} cols {columns}\r".encode())

    def _tell_state(self, state: api.LineState, detail: str) -> None:
        self._open = state is api.LineState.OPEN
        if state is api.LineState.NONE:
            self._error = errors.Conflict(f"{self.vm.name}: {detail or 'the VM has no serial console'}")
            self._over.set()
        elif state is api.LineState.HELD and self.options.force and not self._forced:
            self._forced = True
            self.console.force()
        elif words := _STATES.get(state, ""):
            self._tell(f"{shown(detail)}: {words}" if detail and state is not api.LineState.HELD else words)

    def _tell_writer(self, frame: api.ConsoleWriter) -> None:
        if frame.taken_by and frame.writer is not None and frame.writer.follower != self.console.follower:
            self._tell(f"{shown(frame.taken_by)} has taken over from {shown(frame.taken_from)}: you only read now")
        elif frame.taken_by:
            self._tell(f"you type now instead of {shown(frame.taken_from)}")

    def _tell(self, text: str) -> None:
        """Say something once, however often it is told."""
        if text != self._said:
            self._said = text
            _say(text)

    # -- input -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Read what is typed, or piped in, as it comes."""
        loop = asyncio.get_running_loop()
        self._watch_input()
        ends = (signal.SIGTERM, signal.SIGHUP)
        for number in ends:
            loop.add_signal_handler(number, self._over.set)
        try:
            yield
        finally:
            loop.remove_reader(0)
            for number in ends:
                loop.remove_signal_handler(number)

    def _watch_input(self) -> None:
        loop = asyncio.get_running_loop()
        if self._over.is_set() or self._input_ended:
            return
        try:
            loop.add_reader(0, self._read)
        except PermissionError:  # a file, or /dev/null: it can always be read, and not be waited for
            self._reads_file = True
            loop.call_soon(self._read_file)

    def _read_file(self) -> None:
        if not self._over.is_set():
            self._read()
            asyncio.get_running_loop().call_later(0.02, self._watch_input)

    def _read(self) -> None:
        piped = not os.isatty(0)
        if self.console.waiting >= _MAX_WAITING or (piped and not self._open):
            self._pause_reading()
            return
        try:
            data = os.read(0, 4096)
        except OSError:
            data = b""
        if data:
            self._type(data if piped else self._without_detach(data))
            return
        asyncio.get_running_loop().remove_reader(0)
        self._input_ended = True
        self._printed_at = asyncio.get_running_loop().time()
        if not piped:
            self._over.set()  # the terminal is gone

    def _pause_reading(self) -> None:
        """Read on a little later: a pipe fills faster than a serial line reads."""
        if self._reads_file:
            return  # it is read on by itself
        loop = asyncio.get_running_loop()
        loop.remove_reader(0)
        loop.call_later(0.1, self._watch_input)

    def _without_detach(self, data: bytes) -> bytes:
        """The typed bytes for the guest. The detach key begins to detach; once more within _AGAIN_S it is typed."""
        typed = bytearray()
        for byte in data:
            key = bytes([byte])
            if self._detaching is not None:
                self._detaching.cancel()
                self._detaching = None
                if key == self.detach.byte:
                    typed += key
                    continue
                self._over.set()  # another key follows: the first one was meant
                break
            if key == self.detach.byte:
                self._detaching = asyncio.get_running_loop().call_later(_AGAIN_S, self._over.set)
            else:
                typed += key
        return bytes(typed)

    def _type(self, data: bytes) -> None:
        if data and not self.options.read_only and not self.console.type(data):
            self._tell("not typed: not connected")

    async def _end_of_input(self) -> None:
        """End when a piped input has been typed, and what the guest says to it was printed."""
        loop = asyncio.get_running_loop()
        while not self._over.is_set():
            await asyncio.sleep(0.1)
            done = self._input_ended and not self.options.read_only and not self.console.waiting
            if done and loop.time() - self._printed_at > _QUIET_S:
                self._over.set()


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the guest, Ctrl+C as well."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _log_file(path: Path | None) -> Iterator[BinaryIO | None]:
    """Append to a file that only its owner may read: passwords may be printed. Raises InvalidSetting."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise errors.InvalidSetting(f"--log {path}: {e.strerror}") from e
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        yield file


async def _write(data: bytes) -> None:
    """Write to stdout without holding up the connection: a terminal may be slow."""

    def write() -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]

    await asyncio.to_thread(write)


def _say(text: str) -> None:
    end = "\r\n" if os.isatty(0) else "\n"
    with contextlib.suppress(OSError):
        os.write(2, f"{end}[novacron: {text}]{end}".encode(errors="replace"))
