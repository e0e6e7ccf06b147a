"""When a tier of a host is too full: the capacity marks of the storage policy, without telling the same twice.

Pure: no clock, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from novacron_core.api.tiering import StoragePolicy
from novacron_core.values.sizes import size_text


class Fill(StrEnum):
    """How full a tier was last told to be."""

    NORMAL = "normal"
    FILLING = "filling"
    NEARLY_FULL = "nearly_full"


TYPES = {
    Fill.FILLING: "tier.filling",
    Fill.NEARLY_FULL: "tier.nearly_full",
    Fill.NORMAL: "tier.relieved",
}
"""The event that tells of each."""


def fill_after(before: Fill, used: float, policy: StoragePolicy) -> Fill:
    """How full a tier is, of which this part (0..1) is used. A tier that was told to be too full is that until it is as far
    below the mark as the low mark is below the high one: space that goes up and down at a mark is told once."""
    gap, full = policy.high_mark - policy.low_mark, 1 - policy.spare
    if used > full:
        return Fill.NEARLY_FULL
    if before is not Fill.NORMAL and used >= min(policy.high_mark, full) - gap:
        back = before is Fill.NEARLY_FULL and used < min(policy.high_mark, full - gap)
        return Fill.FILLING if back else before
    return Fill.FILLING if used > policy.high_mark else Fill.NORMAL


def is_told(before: Fill, after: Fill) -> bool:
    """Whether the change is an event. That a tier is only filling again, after it was nearly full, is none."""
    return after is not before and (before, after) != (Fill.NEARLY_FULL, Fill.FILLING)


def fill_text(
    after: Fill, tiers: Sequence[str], host: str, used_bytes: int, capacity_bytes: int, policy: StoragePolicy
) -> str:
    """What an event says. Several tiers are those on one disk."""
    names = " and ".join([", ".join(tiers[:-1]), tiers[-1]] if len(tiers) > 1 else tiers)
    subject = f"{names} on {host}" if len(tiers) == 1 else f"The disk of {names} on {host}"
    share = f"{used_bytes / capacity_bytes:.0%} used, {size_text(used_bytes)} of {size_text(capacity_bytes)}"
    if after is Fill.NORMAL:
        return f"{subject} has room again: {share}"
    what = (
        f"is nearly full: {share}. Less than {policy.spare:.0%} is free"
        if after is Fill.NEARLY_FULL
        else f"is filling up: {share}. Its mark is {policy.high_mark:.0%}"
    )
    step = (
        "novacron storage advice shows what can leave"
        if len(tiers) == 1
        else "a move between them frees nothing: delete volumes, or add a pool on another disk"
    )
    return f"{subject} {what}; {step}"
