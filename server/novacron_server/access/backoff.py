"""How long a wrong password makes one wait: per account and address, so that nobody can lock the owner out from elsewhere."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv6Address, ip_address

FREE = 5
"""Wrong attempts before waiting starts."""
LONGEST_S = 900.0
FORGOTTEN_AFTER = timedelta(hours=24)
MAX_ROWS = 100_000


def wait_s(failures: int) -> float:
    """Seconds until the next attempt: none for the first ones, then 1, 2, 4 … up to a quarter of an hour."""
    return 0.0 if failures < FREE else min(2.0 ** min(failures - FREE, 20), LONGEST_S)


def account_of(username: str) -> str:
    """The account that a typed name means, existing or not."""
    return "".join(letter for letter in username.strip().casefold() if letter.isprintable())[:64]


def network_of(address: str) -> str:
    """The address that counts: an IPv6 caller owns a /64, so that is one. Anything else stands for itself."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)
