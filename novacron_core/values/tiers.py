"""Storage tiers: classes of speed and price, each backed by one or more pools."""

from __future__ import annotations

from typing import Literal

TierName = Literal["hot", "warm", "cold"]

TIERS: tuple[TierName, ...] = ("hot", "warm", "cold")
"""Fastest first."""

TIER_ORDER: dict[str | None, int] = {tier: at for at, tier in enumerate((*TIERS, None))}
"""Sort order of lists; None (no tier) comes last."""

FILE_POOLS = frozenset({"dir", "fs", "netfs"})
"""Pool types whose volumes are files."""

LOGICAL = "logical"
"""The pool type of an LVM volume group, whose volumes are block devices: raw, and with all of their room from the start."""

TierPair = Literal["hot-to-warm", "hot-to-cold", "warm-to-hot", "warm-to-cold", "cold-to-hot", "cold-to-warm"]
"""A source and a target of moves."""


def tier_named(name: str | None) -> TierName:
    """Raises ValueError for a name that is no tier's."""
    for tier in TIERS:
        if tier == name:
            return tier
    raise ValueError(f"{name} is no tier")


def pair_of(source: TierName, target: TierName) -> TierPair:
    """Raises ValueError when both are the same."""
    if source == target:
        raise ValueError(f"{source} is no pair with itself")
    return f"{source}-to-{target}"  # type: ignore[return-value]  # mypy does not compute strings


PAIRS: dict[TierPair, tuple[TierName, TierName]] = {
    pair_of(source, target): (source, target) for source in TIERS for target in TIERS if source != target
}
"""Every pair with its source and its target."""
