"""What is declared of tiers, in words, and what volumes cost by it."""

from __future__ import annotations

from novacron_core.api.tiering import StoragePolicy, TierClass
from novacron_core.rules.tiering.words import operations_text
from novacron_core.values.sizes import GIB


def class_of(policy: StoragePolicy, tier: str | None) -> TierClass | None:
    """What is declared of a tier; None for nothing."""
    return next((declared for name, declared in policy.tiers.items() if name == tier), None)


def price_of(policy: StoragePolicy, tier: str | None) -> float | None:
    """What a GiB costs in a month; None where no price is declared."""
    declared = class_of(policy, tier)
    return declared.cost_per_gib_month if declared else None


def cost_month(policy: StoragePolicy, tier: str | None, size_bytes: int) -> float | None:
    """What this much space costs in a month; None where no price is declared."""
    price = price_of(policy, tier)
    return None if price is None else size_bytes / GIB * price


def has_prices(policy: StoragePolicy) -> bool:
    """Whether any tier has a price."""
    return any(declared.cost_per_gib_month is not None for declared in policy.tiers.values())


def cost_text(cost: float | None) -> str:
    """A cost in the installation's currency; empty for none."""
    return "" if cost is None else f"{cost:,.2f}"


def class_text(declared: TierClass | None, *, short: bool = False) -> str:
    """`0.40 per GiB and month, answers in 6 ms, two disks`; `0.40/GiB, 6 ms, two disks`; empty where nothing is declared."""
    if declared is None:
        return ""
    cost, latency = declared.cost_per_gib_month, declared.expected_ms
    parts = [
        "" if cost is None else f"{cost:,.2f}{'/GiB' if short else ' per GiB and month'}",
        "" if latency is None else f"{'' if short else 'answers in '}{operations_text(latency)} ms",
        declared.redundancy,
    ]
    return ", ".join(filter(None, parts))


def marks_text(policy: StoragePolicy) -> str:
    """When a tier is told to fill up."""
    nearly = f"nearly full above {1 - policy.spare:.0%}"
    return f"filling above {policy.high_mark:.0%} until below {policy.low_mark:.0%}, {nearly}"
