"""What may be done to a pool now, and the sentence that refuses it."""

from __future__ import annotations

from novacron_core.values.tiers import FILE_POOLS

_MAY_SERVE = FILE_POOLS | {"logical"}


def why_not_in_a_tier(name: str, pool_type: str, *, managed: bool) -> str | None:
    """The sentence that refuses to give this pool to a tier, or take it away; None when nothing is against it."""
    if managed:
        return f"{name} is NovaCron's own: its tier is in its name"
    if pool_type not in _MAY_SERVE:
        return f"{name} is a pool of type {pool_type}: tiers are made of dir, fs, netfs and logical pools"
    return None
