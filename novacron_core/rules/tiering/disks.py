"""What the rules of storage advice know of a disk."""

from __future__ import annotations

import math

import msgspec

from novacron_core.values.tiers import TierName


class DiskState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A disk at the time of an evaluation. `size_bytes` is what it takes in a tier. `fast` and `slow` are its averages in
    weighted operations per second. Times are ages in seconds."""

    id: str
    tier: TierName
    size_bytes: int
    fast: float = 0.0
    slow: float = 0.0
    idle_s: float = math.inf
    observed_s: float = math.inf
    above: int = 0
    """In how many evaluations running it was above the line of a faster tier, before this one."""
    moved_ago_s: float = math.inf
    came_from: TierName | None = None
    group: str = ""
    """Disks of one group move together; empty: alone."""
    refused: str = ""
    """Why it cannot be moved now: pinned, dismissed, busy, or what the server would refuse. Empty when it can."""
