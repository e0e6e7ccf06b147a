"""The delay after wrong passwords: per account and address, so that an attacker cannot lock out the owner elsewhere."""

from __future__ import annotations

from datetime import timedelta

FREE = 5
"""Wrong attempts without a delay."""
LONGEST_S = 900.0
FORGOTTEN_AFTER = timedelta(hours=24)
MAX_ROWS = 100_000


def wait_s(failures: int) -> float:
    """Seconds until the next attempt: none for the first ones, then 1, 2, 4 … up to 15 minutes."""
    return 0.0 if failures < FREE else min(2.0 ** min(failures - FREE, 20), LONGEST_S)


def account_of(username: str) -> str:
    """The account key of a typed user name, whether the account exists or not."""
    return "".join(letter for letter in username.strip().casefold() if letter.isprintable())[:64]
