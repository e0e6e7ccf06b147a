"""What thin disks are promised, against the room that there is: they are created small, and fill it as they are written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import FILE_POOLS


def promised_beyond_room(
    size_bytes: int, tier: str, tiers: Mapping[str, Tier], pools: Iterable[Pool], host: str = ""
) -> str:
    """What a new disk of this size in the tier promises beyond the room for it, as a sentence without an end; empty if
    there is room, or nothing is known. `host` is an id; empty: any host."""
    fitting = [
        pool.available_bytes
        for pool in pools
        if pool.tier == tier and pool.active and pool.type in FILE_POOLS and host in ("", pool.host)
        if pool.available_bytes is not None
    ]
    if fitting and size_bytes > max(fitting):
        return f"{size_text(size_bytes)} is promised, and only {size_text(max(fitting))} is free in {tier}"
    return overcommitted(tier, tiers, size_bytes)


def overcommitted(tier: str, tiers: Mapping[str, Tier], more_bytes: int = 0) -> str:
    """That the volumes of a tier, and of those on the same disk, are promised more than it holds; empty if not."""
    own = tiers.get(tier)
    if own is None or own.capacity_bytes is None:
        return ""
    sharing = [tiers[name] for name in own.shares_disk_with if name in tiers]
    # Tiers with another capacity have other disks too: which volumes are on the shared one is not known here.
    together = [own, *(other for other in sharing if other.capacity_bytes == own.capacity_bytes)]
    promised = sum(each.provisioned_bytes for each in together) + more_bytes
    if promised <= own.capacity_bytes:
        return ""
    several = len(together) > 1
    words = (
        f"{' and '.join(each.name for each in together)} {'promise' if several else 'promises'} {size_text(promised)}"
    )
    words += f", more than the {size_text(own.capacity_bytes)} that {'their' if several else 'its'} disks hold"
    return f"with it, {words}" if more_bytes else words
