"""Which changes a pool allows, and the sentence that refuses one."""

from __future__ import annotations

from novacron_core.values.tiers import FILE_POOLS, LOGICAL

_TIER_POOLS = FILE_POOLS | {LOGICAL}


def why_not_in_a_tier(name: str, pool_type: str, *, managed: bool) -> str | None:
    """The sentence that refuses to change the tier of this pool, or None when the change is allowed."""
    if managed:
        return f"{name} is managed by NovaCron: its tier cannot change"
    if pool_type not in _TIER_POOLS:
        return f"{name} is a pool of type {pool_type}: only dir, fs, netfs and logical pools can be in a tier"
    return None
