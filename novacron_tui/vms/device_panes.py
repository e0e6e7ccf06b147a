"""The disks and networks tabs of a VM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from novacron_core.api.vms import NIC, VM, Disk
from novacron_core.rules.filters.language import FilterField, compile_filter
from novacron_core.values.sizes import size_text
from novacron_tui.connection.session import Session
from novacron_tui.terminal.glyphs import TIER_TONES, Glyphs
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.volumes.columns import doing
from novacron_tui.volumes.entries import VolumeEntry, entry_of
from novacron_tui.widgets.cells import Cell, Column
from novacron_tui.widgets.list_pane import ListPane
from novacron_tui.widgets.table import Table
from novacron_tui.widgets.text_bar import Piece


@dataclass(frozen=True, slots=True)
class DiskEntry:
    """A disk of the VM with its volume, if it is one of a known pool."""

    disk: Disk
    volume: VolumeEntry | None


class DiskPane(ListPane[DiskEntry]):
    """The actions on volumes apply to the disk under the cursor. `vm` returns the VM as it is now."""

    NOUN = "disk"
    EXAMPLE = "name, or tier:hot bus:virtio size>10G"

    def __init__(self, session: Session, glyphs: Glyphs, vm: Callable[[], VM]) -> None:
        self._session, self._vm = session, vm
        columns = _disk_columns(glyphs)
        super().__init__(
            Table(columns, lambda entry: entry.disk.target, signs=glyphs.table_signs, sort="given", id="disks",
                  marks_of=lambda entry: (entry.disk.target,) if entry.volume else ())
        )  # fmt: skip

    def chosen(self) -> Sequence[DiskEntry]:
        """The marked disks, or else the one under the cursor."""
        row = self.table.row
        return self.table.marked() or ([row] if row is not None else [])

    def version(self) -> int:
        return self._session.store.version

    def rows(self) -> Sequence[DiskEntry]:
        store = self._session.store
        found = []
        for disk in self._vm().disks:
            volume = store.volumes.get(disk.volume) if disk.volume else None
            found.append(DiskEntry(disk, entry_of(store, volume) if volume else None))
        return found

    def total(self) -> int:
        return len(self._vm().disks)

    def compile(self, text: str) -> Callable[[DiskEntry], bool]:
        return compile_filter(text, _DISK_FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        return [] if self.total() else [Piece("no disks", "quiet")]


_DISK_FIELDS: dict[str, FilterField[DiskEntry]] = {
    "name": FilterField(lambda entry: f"{entry.disk.target} {entry.disk.source}"),
    "bus": FilterField(lambda entry: entry.disk.bus),
    "format": FilterField(lambda entry: entry.disk.format),
    "tier": FilterField(lambda entry: entry.disk.tier),
    "size": FilterField(lambda entry: entry.disk.size_bytes, "size"),
}


def _disk_columns(glyphs: Glyphs) -> list[Column[DiskEntry]]:
    text = glyphs.cell

    def used(entry: DiskEntry) -> int | None:
        return entry.volume.volume.allocated_bytes if entry.volume else None

    def source(entry: DiskEntry) -> Cell:
        pool, _, name = one_line(entry.disk.source).rpartition("/")
        if entry.volume is None or not pool:
            return ((one_line(entry.disk.source) or "empty", "quiet"),)
        return ((name, "plain"), (f"  in {pool}", "quiet"))

    return [
        Column("target", "DISK", 6, lambda e: text(e.disk.target, "strong"), lambda e: e.disk.target),
        Column("tier", "TIER", 5, lambda e: text(e.disk.tier or "", TIER_TONES.get(e.disk.tier or "", "plain")),
               lambda e: e.disk.tier or None),
        Column("size", "SIZE", 9, lambda e: text(size_text(e.disk.size_bytes)), lambda e: e.disk.size_bytes,
               right=True, largest_first=True),
        Column("used", "ON DISK", 9, lambda e: text(size_text(used(e))), used, right=True, rank=2,
               largest_first=True),
        Column("format", "FORMAT", 6, lambda e: text(e.disk.format, "quiet"), lambda e: e.disk.format, rank=4),
        Column("bus", "BUS", 7, lambda e: text(e.disk.bus, "quiet"), lambda e: e.disk.bus, rank=5),
        Column("access", "ACCESS", 10, lambda e: text("read-only" if e.disk.read_only else "read-write", "quiet"),
               rank=6),
        Column("source", "VOLUME", 20, source, lambda e: e.disk.source, stretch=3, widest=70),
        Column("doing", "NOW", 10, lambda e: doing(e.volume, glyphs) if e.volume else (("", "quiet"),), stretch=2,
               widest=36, wish=30, whole=True),
    ]  # fmt: skip


class NetworkPane(ListPane[NIC]):
    """The network interfaces. `vm` returns the VM as it is now."""

    NOUN = "interface"
    EXAMPLE = "network, MAC or address"

    def __init__(self, session: Session, glyphs: Glyphs, vm: Callable[[], VM]) -> None:
        self._session, self._vm = session, vm
        super().__init__(
            Table(_nic_columns(glyphs), lambda nic: nic.mac, signs=glyphs.table_signs, sort="given", id="nics")
        )

    def version(self) -> int:
        return self._session.store.version

    def rows(self) -> Sequence[NIC]:
        return self._vm().nics

    def total(self) -> int:
        return len(self._vm().nics)

    def compile(self, text: str) -> Callable[[NIC], bool]:
        return compile_filter(text, _NIC_FIELDS)

    def placeholder(self) -> Sequence[Piece]:
        return [] if self.total() else [Piece("no network interfaces", "quiet")]


_NIC_FIELDS: dict[str, FilterField[NIC]] = {
    "name": FilterField(lambda nic: f"{nic.network} {nic.mac} {' '.join(nic.addresses)}"),
    "network": FilterField(lambda nic: nic.network),
}


def _nic_columns(glyphs: Glyphs) -> list[Column[NIC]]:
    text = glyphs.cell

    return [
        Column("network", "NETWORK", 12, lambda n: text(n.network, "strong"), lambda n: n.network, stretch=1,
               widest=30),
        Column("mac", "MAC", 17, lambda n: text(n.mac), lambda n: n.mac),
        Column("model", "MODEL", 9, lambda n: text(n.model, "quiet"), lambda n: n.model, rank=1),
        Column("addresses", "ADDRESSES", 16, lambda n: text(" ".join(n.addresses)), lambda n: " ".join(n.addresses) or None,
               stretch=3, widest=90),
    ]  # fmt: skip


def disk_rows(entry: DiskEntry) -> tuple[str, list[tuple[str, str]]]:
    """The title and the properties of a disk that is not a volume of a known pool."""
    disk = entry.disk
    return disk.target, [
        ("device", disk.device), ("bus", disk.bus), ("format", disk.format), ("source", disk.source or "empty"),
        ("size", size_text(disk.size_bytes)), ("access", "read-only" if disk.read_only else "read-write"),
    ]  # fmt: skip


def nic_rows(nic: NIC) -> tuple[str, list[tuple[str, str]]]:
    """The title and the properties of a network interface."""
    return f"{nic.network} {nic.mac}", [
        ("network", nic.network), ("MAC", nic.mac), ("model", nic.model),
        ("addresses", " ".join(nic.addresses) or "none reported"),
    ]  # fmt: skip
