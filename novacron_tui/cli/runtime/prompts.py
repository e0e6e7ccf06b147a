"""Questions on the terminal, and the first line of stdin: every blocking read of a command.

Commands run in an event loop, where the first Ctrl+C only cancels the task, and a task in a blocking read does not notice
that. So while a read blocks, Ctrl+C raises KeyboardInterrupt as it does without a loop.
"""

from __future__ import annotations

import asyncio
import getpass
import signal
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from novacron_core import errors
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.output import shown
from novacron_tui.cli.runtime.text_checks import refuse_undecodable


def is_interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def ask(question: str) -> str:
    """The line typed in answer, without spaces around it. Raises UsageError at the end of the input (Ctrl+D)."""
    line = _read_line("the answer", question)
    if not line:
        print(file=sys.stderr, flush=True)
        raise UsageError("the input ended without an answer")
    return line.strip()


def secret(question: str, name: str = "") -> str:
    """A secret that is typed and not shown, or the next line of stdin. `name` is for refusals, like `the code`; default:
    the question. Raises UsageError for an empty one."""
    name = name or question.rstrip(": ").lower()
    typed = ask_secret(question, name) if is_interactive() else read_secret(name)
    if not typed:
        raise UsageError(f"{name} is missing: type it, or pass it on a line of stdin")
    return typed


def ask_secret(question: str, name: str = "the password") -> str:
    """The line typed in answer, which is not shown."""
    with _interruptible(), _decoding(name):
        typed = getpass.getpass(question)
    refuse_undecodable(name, [typed])
    return typed


def read_secret(name: str = "the password") -> str:
    """The next line of stdin, which is not a terminal."""
    return _read_line(f"{name} on stdin").rstrip("\r\n")


def new_password(question: str) -> str:
    """A password that is chosen: typed twice, or the next line of stdin. Raises UsageError."""
    given = secret(question)
    if is_interactive() and ask_secret("The same again: ") != given:
        raise UsageError("the two passwords differ; nothing was changed")
    return given


def confirm(what: str, expected: str) -> None:
    """Ask to type `expected`, a name or number, before doing `what`; it may be typed as it is or as it is shown. Raises
    Conflict for another answer, UsageError without a terminal."""
    if not is_interactive():
        raise UsageError(f"not a terminal: add --yes to {what}")
    answer = ask(f"This will {what}. Type {shown(expected)} to confirm: ")
    if _comparable(answer) != _comparable(expected):
        raise errors.Conflict("not deleted: the confirmation did not match")


def _comparable(text: str) -> str:
    return shown(unicodedata.normalize("NFC", text))


def _read_line(name: str, question: str = "") -> str:
    with _interruptible(), _decoding(name):
        print(question, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    refuse_undecodable(name, [line])
    return line


@contextmanager
def _interruptible() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # ignored by the caller, as nohup and background jobs do: then it stays so
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _is_cancelled():
            raise KeyboardInterrupt
        yield
    except KeyboardInterrupt:
        print(file=sys.stderr, flush=True)  # the shell's prompt belongs on a line of its own
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _is_cancelled() -> bool:
    """Whether Ctrl+C came before the read."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # no event loop runs here
    return task is not None and task.cancelling() > 0


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as e:
        raise UsageError(f"{name} is not valid UTF-8") from e
