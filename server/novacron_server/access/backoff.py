"""The delay after wrong passwords: per account and network, and per account over all networks together.

The second one slows an attacker with many addresses. It does not count for a network from which the account has signed
in before, and there the first one stays short: an attacker can slow the owner down, but not lock him out.
"""

from __future__ import annotations

from datetime import timedelta

FREE = 5
"""Wrong attempts without a delay."""
LONGEST_S = 900.0
KNOWN_LONGEST_S = 30.0
"""For a network from which the account has signed in before."""
ALL_FREE, ALL_LONGEST_S = 20, 60.0
"""For all networks together from which it has not."""
ALL = "*"
"""Where the attempts from all networks are counted, in place of an address."""
FORGOTTEN_AFTER = timedelta(hours=24)
MAX_ROWS = 100_000


def wait_s(failures: int, free: int = FREE, longest_s: float = LONGEST_S) -> float:
    """Seconds until the next attempt: none for the first ones, then 1, 2, 4 … up to the longest."""
    return 0.0 if failures < free else min(2.0 ** min(failures - free, 20), longest_s)


def account_of(username: str) -> str:
    """The account key of a typed user name, whether the account exists or not."""
    return "".join(letter for letter in username.strip().casefold() if letter.isprintable())[:64]
