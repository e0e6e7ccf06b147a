"""The sections of the VM page: overview, disks, NICs, operations and events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from textwrap import wrap

from novacron_core.api.events import Event
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM, Disk, State
from novacron_core.rules import event_words as rules
from novacron_core.rules.vm_actions import TRANSIENT, state_words
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.sizes import size_text
from novacron_tui.terminal.glyphs import Glyphs, state_tone
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.columns import tags_text
from novacron_tui.widgets.cells import padded
from novacron_tui.widgets.text_bar import Piece

_LABEL = 16
_VALUE, _MOST_LINES = 38, 3
OP_TONES = {
    OperationState.SUCCEEDED: "good",
    OperationState.FAILED: "bad",
    OperationState.INTERRUPTED: "bad",
    OperationState.CANCELLED: "warn",
    OperationState.REFUSED: "warn",
}
_EVENT_TONES = {
    "vm.deleted": "warn",
    "vm.started": "good",
    "vm.paused": "warn",
    "vm.resumed": "good",
    "vm.crashed": "bad",
    "vm.failed": "bad",
    "host.up": "good",
    "host.down": "bad",
    "tier.filling": "warn",
    "tier.nearly_full": "bad",
    "tier.relieved": "good",
}
Lines = list[list[Piece]]


def overview(vm: VM, now: datetime, glyphs: Glyphs, host_name: Callable[[str], str]) -> Lines:
    """State, host, size, owner and other properties."""
    state = [Piece(f"{glyphs.state(vm.state)} {state_words(vm)}", state_tone(vm.state))]
    if vm.state_since:
        state.append(Piece(f"  for {age_text(age_s(vm.state_since, now))}", "quiet"))
    if vm.reason:
        state.append(Piece(f"  ({one_line(vm.reason)})", "quiet"))
    rows: list[tuple[str, list[Piece]]] = [
        ("state", state),
        *([("", [Piece(_after_crash(vm), "quiet")])] if vm.state is State.CRASHED else []),
        *([("booted", [Piece(_ago(vm.booted_at, now, glyphs))])] if vm.booted_at else []),
        ("host", _host_pieces(vm, host_name)),
        ("size", [Piece(f"{vm.vcpus} vCPU, {size_text(vm.memory_bytes)} memory")]),
        ("virtualization", [_virtualization(vm)]),
        ("owner", [_owner(vm)]),
        ("tags", [Piece(one_line(tags_text(vm)))] if vm.tags else [Piece(glyphs.no, "quiet")]),
        ("created", [Piece(_ago(vm.created_at, now, glyphs))]),
        ("definition", [Piece(f"version {vm.generation}"), *_flags(vm)]),
        *([("", [Piece(TRANSIENT, "warn")])] if vm.transient else []),
        ("id", [Piece(vm.id, "quiet")]),
    ]
    if vm.description:
        first, *more = _wrapped(one_line(vm.description))
        rows += [("description", [Piece(first)]), *(("", [Piece(line)]) for line in more)]
    if vm.seen_at:
        rows.append(("last seen", [Piece(_ago(vm.seen_at, now, glyphs), "quiet")]))
    return [[Piece(label.ljust(_LABEL), "quiet"), *pieces] for label, pieces in rows]


def _after_crash(vm: VM) -> str:
    """The keys that lead out of the state."""
    return "in memory: T resets, X powers off" if vm.preserved else "enter shows why, A acknowledges it"


def _wrapped(text: str) -> list[str]:
    """Lines that fit beside the label, and a new one for each part of a description that has several."""
    lines = [line for part in text.split("; ") for line in wrap(part, _VALUE)]
    return (
        [*lines[: _MOST_LINES - 1], " ".join(lines[_MOST_LINES - 1 :])] if len(lines) > _MOST_LINES else lines or [""]
    )


def _host_pieces(vm: VM, host_name: Callable[[str], str]) -> list[Piece]:
    others = ", ".join(one_line(host_name(host)) for host in vm.duplicate_on)
    shared = [Piece(f"  same UUID on {others}: cannot be changed", "warn")] if others else []
    return [Piece(one_line(host_name(vm.host))), *shared]


def _virtualization(vm: VM) -> Piece:
    words = {"kvm": "KVM", "qemu": "QEMU emulation (slow)", "test": "SIMULATED: no guest runs"}
    return Piece(
        words.get(vm.virtualization, one_line(vm.virtualization) or "unknown"), "warn" if vm.simulated else "plain"
    )


def _owner(vm: VM) -> Piece:
    if vm.unmanaged:
        return Piece("unmanaged (not created by NovaCron)", "warn")
    return Piece(f"{one_line(vm.owner or 'no owner')} ({one_line(vm.tenant or 'no tenant')})")


def _flags(vm: VM) -> list[Piece]:
    return [Piece("  protected", "accent")] if vm.protected else []


def _ago(when: datetime | None, now: datetime, glyphs: Glyphs) -> str:
    return f"{age_text(age_s(when, now))} ago" if when else glyphs.no


def disks(vm: VM, glyphs: Glyphs) -> Lines:
    """One line per disk."""
    return [
        [
            Piece(one_line(disk.target).ljust(6), "strong"),
            Piece(f"{size_text(disk.size_bytes):>9}  "),
            Piece(f"{one_line(disk.format) or glyphs.no:<6} {one_line(disk.bus) or glyphs.no:<7} "),
            *([Piece(f"{one_line(disk.tier)} ".ljust(5), "plain")] if disk.tier else []),
            *_source(disk),
            *([Piece("  read-only", "quiet")] if disk.read_only else []),
        ]
        for disk in vm.disks
    ] or [[Piece("no disks", "quiet")]]


def _source(disk: Disk) -> list[Piece]:
    """The volume name first: the pool may not fit on the line."""
    pool, _, name = one_line(disk.source).rpartition("/")
    if disk.volume is None or not pool:
        return [Piece(one_line(disk.source) or "empty", "quiet")]
    return [Piece(name), Piece(f"  in {pool}", "quiet")]


def nics(vm: VM, glyphs: Glyphs) -> Lines:
    """One line per network interface."""
    return [
        [
            Piece(padded(one_line(nic.network), 14), "strong"),
            Piece(
                (one_line(" ".join(nic.addresses)) or f"{glyphs.no} no address").ljust(15),
                "plain" if nic.addresses else "quiet",
            ),
            Piece(f"  {nic.mac}  "),
            Piece(one_line(nic.model), "quiet"),
        ]
        for nic in vm.nics
    ] or [[Piece("no network interfaces", "quiet")]]


def operations(ops: Sequence[Operation], now: datetime, glyphs: Glyphs) -> Lines:
    """The operations, newest first; the reason of a failed one is on its own line."""
    lines: Lines = []
    for op in ops:
        tone = OP_TONES.get(op.state, "busy")
        sign = {"good": glyphs.ok, "bad": glyphs.bad, "warn": glyphs.dot}.get(tone, glyphs.work)
        percent = f" {op.progress:.0%}" if op.progress is not None and not op.state.ended else ""
        actor = f" by {one_line(op.actor)}" if op.actor else ""
        lines.append(
            [
                Piece(f"{age_text(age_s(relevant_time(op), now)):>7}  ", "quiet"),
                Piece(f"{sign} {operation_words(op)}{percent}", tone),
                Piece(actor, "quiet"),
                *([Piece(f"  {one_line(op.step)}", "quiet")] if op.step and not op.state.ended else []),
            ]
        )
        if op.problem:
            lines.append([Piece(" " * 11), Piece(one_line(op.problem.sentence), "plain")])
    return lines or [[Piece("No recorded operations", "quiet")]]


def relevant_time(op: Operation) -> datetime:
    """The time its age is counted from: the end of an ended operation, since its words say `started` or `failed`."""
    return op.finished_at or op.created_at


def operation_words(op: Operation) -> str:
    """`shutting down`, `shut down` or `shutdown failed`."""
    return rules.operation_words(op.child_kind or op.kind, op.state)


def event_words(kind: str) -> tuple[str, str]:
    """The words and tone of an event."""
    return one_line(rules.event_words(kind)), _EVENT_TONES.get(kind, "plain")


def event_lines(events: Sequence[Event], now: datetime) -> Lines:
    """The events of a VM since this console connected, newest first; updates without a note are left out."""
    shown = [event for event in events if event.note or not event.type.endswith(".updated")]
    return [
        [
            Piece(f"{age_text(age_s(event.time, now)):>7}  ", "quiet"),
            Piece(*event_words(event.type)),
            Piece(f": {one_line(event.note)}" if event.note else "", "quiet"),
        ]
        for event in shown
    ] or [[Piece("No events since you connected; the events tab has older ones", "quiet")]]
