"""Tiers: promises about speed and price, each kept by one or more pools."""

from __future__ import annotations

from typing import Literal

TierName = Literal["hot", "warm", "cold"]
TIERS: tuple[TierName, ...] = ("hot", "warm", "cold")
"""Fastest first."""
TIER_ORDER: dict[str | None, int] = {tier: at for at, tier in enumerate((*TIERS, None))}
"""How lists sort them; what is in no tier comes last."""

FILE_POOLS = frozenset({"dir", "fs", "netfs"})
"""Types of pools whose volumes are files."""
_MAY_SERVE = FILE_POOLS | {"logical"}


def why_not_in_a_tier(name: str, pool_type: str, *, ours: bool) -> str | None:
    """The sentence that refuses to give this pool to a tier, or take it away; None when nothing is against it."""
    if ours:
        return f"{name} is NovaCron's own: its tier is in its name"
    if pool_type not in _MAY_SERVE:
        return f"{name} is a pool of type {pool_type}: tiers are made of dir, fs, netfs and logical pools"
    return None
