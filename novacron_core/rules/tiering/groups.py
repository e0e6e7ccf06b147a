"""Disks that must stay together, as one: with the heat and size of all, moved only when each of them may move."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from novacron_core.rules.tiering.disks import DiskState

Members = dict[str, list[DiskState]]
"""The disks that a joined one stands for, by its id, which is that of its first disk."""


def join(disks: Iterable[DiskState], return_s: float) -> tuple[list[DiskState], Members]:
    """The disks, with one in the place of those of a group that are in the same tier. `return_s` is for how long a disk does
    not go back where it came from.

    Each part of a group that is in several tiers, because its disks move one after another, is as hot as the whole: so the
    others follow the first.
    """
    groups: dict[str, list[DiskState]] = defaultdict(list)
    found = list[DiskState]()
    for disk in disks:
        (groups[disk.group] if disk.group else found).append(disk)
    members: Members = {}
    for group in groups.values():
        if len(group) == 1:
            found += group
            continue
        parts: dict[str, list[DiskState]] = defaultdict(list)
        for disk in sorted(group, key=lambda disk: disk.id):
            parts[disk.tier].append(disk)
        for part in parts.values():
            found.append(_joined(part, group, return_s))
            members[part[0].id] = part
    return found, members


def _joined(part: Sequence[DiskState], group: Sequence[DiskState], return_s: float) -> DiskState:
    back = {disk.came_from for disk in part if disk.came_from and disk.moved_ago_s < return_s}
    size_bytes = sum(disk.size_bytes for disk in part)
    share = size_bytes / max(1, sum(disk.size_bytes for disk in group))
    return msgspec.structs.replace(
        part[0],
        size_bytes=size_bytes,
        fast=math.fsum(disk.fast for disk in group) * share,  # exact, so that no order of the disks changes the advice
        slow=math.fsum(disk.slow for disk in group) * share,
        idle_s=min(disk.idle_s for disk in group),
        observed_s=min(disk.observed_s for disk in part) if len(back) < 2 else 0.0,  # from two tiers: back to neither
        above=min(disk.above for disk in part),
        moved_ago_s=min(disk.moved_ago_s for disk in part),
        came_from=next(iter(back), None),
        refused=next((disk.refused for disk in part if disk.refused), ""),
    )
