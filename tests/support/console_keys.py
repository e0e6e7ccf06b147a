"""The sign-in forms of the console and its questions, by key presses."""

from __future__ import annotations

import re

from tests.support.accounts import PASSWORD
from tests.support.terminal import Terminal


def make_administrator(terminal: Terminal, name: str = "ann") -> None:
    """The first-run form, by keys, as far as the empty list."""
    terminal.see("create the first administrator", 60)
    terminal.press("shift+tab", "ctrl+u")
    terminal.type(name)
    terminal.press("enter")
    for _ in range(2):
        terminal.type(PASSWORD)
        terminal.press("enter")
    terminal.press("enter")
    _see_list(terminal, name)


def _see_list(terminal: Terminal, name: str) -> None:
    """Wait for the list. A form refuses to be sent while the server does not respond: it is sent again afterwards."""
    terminal.see(f"LIVE.*{name}|Server is responding again", 60)
    if not re.search(f"LIVE.*{name}", terminal.text()):
        terminal.press("enter")
        terminal.see(f"LIVE.*{name}", 60)


def sign_in_again(terminal: Terminal, name: str = "ann") -> None:
    """The sign-in form where this user signed in last: the cursor is in the password already."""
    terminal.see("Sign in", 60)
    terminal.see(f"User.*{name}")
    terminal.type(PASSWORD)
    terminal.press("enter")
    _see_list(terminal, name)


def sign_in(terminal: Terminal, name: str = "ann") -> None:
    """The sign-in form, by keys."""
    terminal.see("Sign in", 60)
    terminal.type(name)
    terminal.press("enter")
    terminal.type(PASSWORD)
    terminal.press("enter")
    _see_list(terminal, name)


def confirm(terminal: Terminal, question: str, key: str = "y") -> None:
    """Answer a question, once it takes an answer. The key is pressed once: on a slow machine a second one would reach what
    is behind the question before it is seen to go."""
    terminal.see(question)
    terminal.react()
    terminal.press(key)
    terminal.see_no(question)
