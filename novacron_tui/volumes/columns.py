"""The columns of volumes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering.classes import cost_month, cost_text, has_prices
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import TIER_ORDER
from novacron_tui.terminal.glyphs import TIER_TONES, Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.entries import VolumeEntry
from novacron_tui.volumes.heat import heat_cell, last_access
from novacron_tui.widgets.cells import Cell, Column

_DOING = {
    "volume.move": "moving",
    "volume.resize": "growing",
    "volume.clone": "copying",
    "volume.create": "creating",
    "volume.delete": "deleting",
    "volume.attach": "attaching",
    "volume.detach": "detaching",
}


def columns(
    glyphs: Glyphs,
    host_name: Callable[[str], str],
    now: Callable[[], datetime],
    policy: StoragePolicy | None = None,
    *,
    many_hosts: bool,
) -> list[Column[VolumeEntry]]:
    """The columns: name, tier, heat, sizes, user, location and running operation; costs where a price is declared."""

    text = glyphs.cell

    def tier(entry: VolumeEntry) -> Cell:
        name = entry.volume.tier or ""
        return text(name, TIER_TONES.get(name, "plain"))

    def used_by(entry: VolumeEntry) -> Cell:
        volume = entry.volume
        if volume.vm is None:
            return (
                ("unmanaged" if volume.unmanaged else "free", "quiet"),
            )  # and not beside its name, which may be long
        part = f" {volume.role}" if volume.role and volume.role != "disk" else ""
        return ((one_line(entry.vm.name if entry.vm else "another user's VM"), "plain"), (part, "quiet"))

    def heat(entry: VolumeEntry) -> float | None:
        return entry.heat.per_gib(entry.volume.allocated_bytes) if entry.heat else None

    def idle(entry: VolumeEntry) -> float | None:
        return age_s(entry.heat.accessed_at, now()) if entry.heat else None

    def host(entry: VolumeEntry) -> str:
        return host_name(entry.volume.host)

    def cost(entry: VolumeEntry) -> float | None:
        return cost_month(policy, entry.volume.tier, entry.volume.allocated_bytes) if policy else None

    return [
        Column("name", "NAME", 16, lambda e: _name(e), lambda e: e.volume.name, stretch=3, widest=44,
               wish=21),
        Column("tier", "TIER", 5, tier, lambda e: TIER_ORDER.get(e.volume.tier) if e.volume.tier else None),
        Column("heat", "OPS/S", 8, lambda e: heat_cell(e.heat, e.volume, glyphs), heat, right=True, rank=1,
               largest_first=True),
        Column("last", "LAST USE", 8, lambda e: text(last_access(e.heat, now()), "quiet"), idle, right=True, rank=5,
               largest_first=True),
        Column("size", "SIZE", 9, lambda e: text(size_text(e.volume.size_bytes)), lambda e: e.volume.size_bytes,
               right=True, rank=2, largest_first=True),
        Column("used", "ON DISK", 9, lambda e: text(size_text(e.volume.allocated_bytes)),
               lambda e: e.volume.allocated_bytes, right=True, rank=4, largest_first=True),
        *([Column("cost", "A MONTH", 9, lambda e: text(cost_text(cost(e))), cost, right=True, rank=3, largest_first=True)]
          if policy and has_prices(policy) else []),
        Column("format", "FORMAT", 6, lambda e: text(e.volume.format, "quiet"), lambda e: e.volume.format, rank=5),
        Column("vm", "USED BY", 12, used_by, lambda e: e.vm.name if e.vm else None, stretch=2, widest=30),
        Column("pool", "POOL", 21, lambda e: text(e.volume.pool, "quiet"), lambda e: e.volume.pool, stretch=1,
               widest=24, rank=6),
        *([Column("host", "HOST", 10, lambda e: text(host(e)), host, stretch=1, widest=20, rank=3)]
          if many_hosts else []),
        Column("doing", "NOW", 16, lambda e: doing(e, glyphs), lambda e: e.operation is None, stretch=6, widest=36,
               wish=30, whole=True),
    ]  # fmt: skip


def _name(entry: VolumeEntry) -> Cell:
    volume = entry.volume
    marks = "".join(
        f" {word}"
        for word, is_so in (
            ("overlay", volume.backing_file),
            ("pinned", volume.pinned),
            ("unmanaged", volume.unmanaged and volume.vm),
        )
        if is_so
    )
    return ((one_line(entry.volume.name), "strong"), (marks, "quiet")) if marks else (
        (one_line(entry.volume.name), "strong"),
    )  # fmt: skip


def doing(entry: VolumeEntry, glyphs: Glyphs) -> Cell:
    """The running operation: progress, time left and rate."""
    op = entry.operation
    if op is None:
        return (("", "quiet"),)
    word = f"{glyphs.work} {_DOING.get(op.kind, op.kind)}"
    if op.progress is None:
        return ((word, "busy"),)
    progress = f"{glyphs.work}{op.progress:>4.0%} {_DOING.get(op.kind, op.kind)}"
    left = f"  {age_text(op.eta_s)} left" if op.eta_s is not None else ""
    rate = f"  {size_text(op.rate)}/s" if op.rate else ""
    return ((progress, "busy"), (left, "quiet"), (rate, "quiet"))
