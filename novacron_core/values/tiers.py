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
