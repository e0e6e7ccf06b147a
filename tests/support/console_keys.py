"""The sign-in forms of the console, by key presses."""

from __future__ import annotations

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
    terminal.see(f"LIVE.*{name}", 20)


def sign_in_again(terminal: Terminal, name: str = "ann") -> None:
    """The sign-in form where this user signed in last: the cursor is in the password already."""
    terminal.see("Sign in", 60)
    terminal.see(f"User.*{name}")
    terminal.type(PASSWORD)
    terminal.press("enter")
    terminal.see(f"LIVE.*{name}", 20)


def sign_in(terminal: Terminal, name: str = "ann") -> None:
    """The sign-in form, by keys."""
    terminal.see("Sign in", 60)
    terminal.type(name)
    terminal.press("enter")
    terminal.type(PASSWORD)
    terminal.press("enter")
    terminal.see(f"LIVE.*{name}", 20)
