"""The columns of the VM list: their text and sort key, and which are dropped on a narrow terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, State
from novacron_core.rules.operation_words import doing
from novacron_core.rules.vm_actions import state_words
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import TIER_ORDER
from novacron_tui.connection.store import Store
from novacron_tui.terminal.glyphs import TIER_TONES, Glyphs, state_tone
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.live import LiveColumns
from novacron_tui.vms.look_alikes import LookAlikes
from novacron_tui.widgets.cells import Cell, Column

STATE_WIDTH = 20
UNKNOWN_WIDTH = 29
"""Cells of the state column while some VM is `unknown, was running`."""
HOST_WIDTHS = 10, 20
"""Minimum and maximum cells of the host column."""
_URGENCY = (
    State.FAILED,
    State.CRASHED,
    State.UNKNOWN,
    State.PROVISIONING,
    State.STARTING,
    State.STOPPING,
    State.MIGRATING,
    State.PAUSED,
    State.RUNNING,
    State.SAVED,
    State.STOPPED,
)
_RANK = {state: rank for rank, state in enumerate(_URGENCY)}


def state_cell(vm: VM, operation: Operation | None, now: datetime, glyphs: Glyphs, width: int = STATE_WIDTH) -> Cell:
    """The state and its age; while an operation runs, the operation and its progress."""
    if operation is not None:
        return _operation_cell(operation, now, glyphs, width)
    word = f"{glyphs.state(vm.state)} {state_words(vm)}"
    age = age_text(age_s(vm.state_since, now)) if vm.state_since else ""
    return ((word.ljust(width - 6), state_tone(vm.state)), (age.rjust(6), "quiet"))


def _operation_cell(op: Operation, now: datetime, glyphs: Glyphs, width: int) -> Cell:
    word = f"{glyphs.work} {doing(op.kind)}"
    if op.progress is None:
        age = age_text(age_s(op.started_at or op.created_at, now))
        return ((word.ljust(width - len(age)), "busy"), (age, "quiet"))
    percent = f"{op.progress:>5.0%}"
    room = width - len(word) - 1 - len(percent)
    bar = glyphs.bar(op.progress, room) if room >= 3 else " " * max(0, room)
    return ((f"{word} {bar}{percent}", "busy"),)


def disk_bytes(vm: VM) -> int | None:
    """The sum of the sizes of its disks; None when no size is known."""
    known = [disk.size_bytes for disk in vm.disks if disk.device == "disk" and disk.size_bytes is not None]
    return sum(known) if known else None


def addresses(vm: VM) -> list[str]:
    """All known addresses of its NICs, in the server's order."""
    return [address for nic in vm.nics for address in nic.addresses]


def tags_text(vm: VM) -> str:
    """Tags as `key=value`, or only the key when the value is empty."""
    if not vm.tags:
        return ""
    return " ".join(f"{key}={value}" if value else key for key, value in sorted(vm.tags.items()))


def columns(
    glyphs: Glyphs,
    store: Store,
    *,
    host_width: int,
    state_width: int = STATE_WIDTH,
    alike: LookAlikes,
) -> Sequence[Column[VM]]:
    """The columns for this terminal. `host_width` is in cells; 0 (a single host) omits the host column, which would be
    the same on every line; `state_width` likewise. `alike` tells apart names that look the same."""
    draw = _Draw(glyphs, store, alike, state_width)
    cpu, memory, io, net = LiveColumns(glyphs, store.samples).columns()
    return [
        Column("name", "NAME", 14, draw.name, lambda vm: vm.name, stretch=3, widest=40, wish=20),
        Column("state", "STATE", state_width, draw.state, lambda vm: _RANK.get(vm.state, 0)),
        *([Column("host", "HOST", host_width, draw.host, draw.host_of, rank=1)] if host_width else []),
        cpu,
        Column("vcpus", "VCPU", 5, draw.vcpus, lambda vm: vm.vcpus, right=True, rank=5, largest_first=True),
        memory,
        io,
        net,
        Column("disk", "DISK", 9, draw.disk, disk_bytes, right=True, rank=6, largest_first=True),
        Column("tier", "TIER", 5, draw.tier, lambda vm: TIER_ORDER.get(vm.tier) if vm.tier else None, rank=7),
        Column("address", "ADDRESS", 15, draw.address, lambda vm: addresses(vm) or None, stretch=2, widest=40, rank=3),
        Column("owner", "OWNER", 10, draw.owner, lambda vm: owner_text(vm) or None, rank=10, stretch=1, widest=24),
        Column("tags", "TAGS", 12, draw.tags, lambda vm: tags_text(vm) or None, stretch=2, widest=40, rank=9),
        Column("age", "AGE", 6, draw.age, _created, right=True, rank=8),
    ]


def _created(vm: VM) -> float | None:
    """The sort key of its age: the youngest first."""
    return -vm.created_at.timestamp() if vm.created_at else None


def owner_text(vm: VM) -> str:
    """The owner, or `unmanaged`."""
    return "unmanaged" if vm.unmanaged else vm.owner or ""


class _Draw:
    """The cells of the columns."""

    def __init__(self, glyphs: Glyphs, store: Store, alike: LookAlikes, state_width: int) -> None:
        self._state_width = state_width
        self._glyphs = glyphs
        self._alike = alike
        self._store = store
        self._now = store.now

    def _text(self, text: str, tone: str = "plain") -> Cell:
        return ((one_line(text), tone),) if text else ((self._glyphs.no, "quiet"),)

    def name(self, vm: VM) -> Cell:
        marks = self._alike.mark(vm)
        marks += " protected" if vm.protected else ""
        marks += " transient" if vm.transient else ""
        marks += " shared UUID" if vm.duplicate_on else ""
        return ((one_line(vm.name), "strong"), (marks, "quiet")) if marks else ((one_line(vm.name), "strong"),)

    def state(self, vm: VM) -> Cell:
        return state_cell(vm, self._store.operation_on(vm), self._now(), self._glyphs, self._state_width)

    def host(self, vm: VM) -> Cell:
        return self._text(self.host_of(vm))

    def host_of(self, vm: VM) -> str:
        return self._store.host_name(vm.host)

    def vcpus(self, vm: VM) -> Cell:
        return ((str(vm.vcpus), "plain"),)

    def disk(self, vm: VM) -> Cell:
        size = disk_bytes(vm)
        return self._text("" if size is None else size_text(size))

    def tier(self, vm: VM) -> Cell:
        return self._text(vm.tier or "", TIER_TONES.get(vm.tier or "", "plain"))

    def address(self, vm: VM) -> Cell:
        return self._text(" ".join(addresses(vm)))

    def owner(self, vm: VM) -> Cell:
        return self._text(owner_text(vm), "quiet")

    def tags(self, vm: VM) -> Cell:
        return self._text(tags_text(vm), "quiet")

    def age(self, vm: VM) -> Cell:
        return self._text(age_text(age_s(vm.created_at, self._now())) if vm.created_at else "", "quiet")
