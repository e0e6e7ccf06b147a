"""The columns of pools."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.pools import Pool
from novacron_core.api.tiering import StoragePolicy
from novacron_core.values.sizes import size_text
from novacron_tui.connection.policy import KnownPolicy
from novacron_tui.terminal.glyphs import Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.cells import Cell, Column

_BAR = 10


def columns(
    glyphs: Glyphs, host_name: Callable[[str], str], policy: KnownPolicy, *, many_hosts: bool, paths: bool
) -> list[Column[Pool]]:
    """The columns: name, tier, disk usage and location. `paths`: the reader is told where the pools are on their hosts."""

    text = glyphs.cell

    def size(value: int | None) -> Cell:
        return text(size_text(value) if value is not None else "")

    def full(pool: Pool) -> Cell:
        part = part_used(pool.allocated_bytes, pool.capacity_bytes)
        if part is None:
            return (("inactive" if not pool.active else glyphs.no, "warn" if not pool.active else "quiet"),)
        tone = tone_of(part, policy.value if pool.tier else None)
        return ((f"{glyphs.bar(part, _BAR)}{part:>5.0%}", tone),)

    def name(pool: Pool) -> Cell:
        marks = "" if pool.managed else " unmanaged"
        return ((one_line(pool.name), "strong"), (marks, "quiet"))

    def host(pool: Pool) -> str:
        return host_name(pool.host)

    return [
        Column("name", "POOL", 16, name, lambda p: p.name, stretch=2, widest=40),
        Column("tier", "TIER", 5, lambda p: text(p.tier or ""), lambda p: p.tier),
        Column("full", "DISK", _BAR + 5, full,
               lambda p: part_used(p.allocated_bytes, p.capacity_bytes), largest_first=True),
        Column("free", "FREE", 9, lambda p: size(p.available_bytes), lambda p: p.available_bytes, right=True,
               largest_first=True),
        Column("size", "SIZE", 9, lambda p: size(p.capacity_bytes), lambda p: p.capacity_bytes, right=True,
               rank=2, largest_first=True),
        Column("volumes", "VOLUMES", 7, lambda p: text(str(p.volumes)), lambda p: p.volumes, right=True, rank=3,
               largest_first=True),
        Column("type", "TYPE", 8, lambda p: text(p.type, "quiet"), lambda p: p.type, rank=5),
        *([Column("host", "HOST", 10, lambda p: text(host(p)), host, stretch=1, widest=20, rank=1)]
          if many_hosts else []),
        *([Column("path", "PATH", 16, lambda p: text(p.path, "quiet"), lambda p: p.path, stretch=3, widest=60, rank=4)]
          if paths else []),
    ]  # fmt: skip


def part_used(used: int | None, capacity: int | None) -> float | None:
    """The used fraction, 0..1; None where unknown."""
    return used / capacity if used is not None and capacity else None


def tone_of(part: float, policy: StoragePolicy | None = None) -> str:
    """The tone of a disk with this used fraction; of one of a tier by the marks of the policy."""
    if policy is None:
        return "bad" if part >= 0.95 else "warn" if part >= 0.85 else "good"
    return "bad" if part > 1 - policy.spare else "warn" if part > policy.high_mark else "good"
