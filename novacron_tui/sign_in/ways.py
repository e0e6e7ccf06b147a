"""The ways in beside a password: each has a key on the sign-in screen."""

from __future__ import annotations

from typing import NamedTuple


class Way(NamedTuple):
    """A form of the sign-in screen, and the key that shows it."""

    name: str
    key: str
    label: str


SIGN_IN = Way("sign-in", "esc", "back")
INVITATION = Way("invitation", "f2", "invitation code")
RESET = Way("reset", "f3", "reset password")
REGISTER = Way("register", "f4", "new account")
