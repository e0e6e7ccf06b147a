"""The rows of the timeline: entries in their order, with lines for days, and groups of the same that are folded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from novacron_core.api.operations import Operation
from novacron_core.values.counts import counted
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.texts import shared_beginning
from novacron_tui.operations.entries import ActivityEntry, local
from novacron_tui.terminal.safe_text import one_line

FOLD_FROM = 3
"""So many of the same are folded; two rows are read as quickly as one."""
_RUN = timedelta(minutes=1)
_LATE = timedelta(seconds=3)
"""An event may be read from libvirt so long after the operation that caused it has ended."""
_CHANGES_VOLUMES = (OperationKind.VM_CREATE, OperationKind.VM_DELETE)
_RESULTS: dict[str, tuple[str, ...]] = {
    OperationKind.VM_CREATE: ("vm.created", "vm.started"),
    OperationKind.VM_START: ("vm.started", "vm.failed"),
    OperationKind.VM_STOP: ("vm.stopped",),
    OperationKind.VM_POWER_OFF: ("vm.stopped",),
    OperationKind.VM_PAUSE: ("vm.paused",),
    OperationKind.VM_RESUME: ("vm.resumed",),
    OperationKind.VM_DELETE: ("vm.stopped", "vm.deleted"),
}
"""The events of a VM that an operation causes."""
_MIN_PREFIX = 2
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shown:
    """How the rows are shown: the ids of entries whose group is open, those of the lines of days that are folded, and when
    this operator was last here."""

    open: Collection[str] = ()
    closed: Collection[str] = ()
    last_here: datetime | None = None


def timeline(entries: Iterable[ActivityEntry], shown: Shown) -> list[ActivityEntry]:
    """Running operations, then the newest first, with lines between days."""
    ordered = sorted(entries, key=lambda entry: entry.at, reverse=True)
    running = [entry for entry in ordered if entry.runs]
    return [*running, *_with_lines(_folded([entry for entry in ordered if not entry.runs], shown), shown)]


def without_told(entries: Sequence[ActivityEntry]) -> list[ActivityEntry]:
    """The entries without the events that an operation among them already tells: a VM that was shut down has stopped, a
    creation makes volumes, a start that failed has failed."""
    by_target: dict[str, list[Operation]] = {}
    bulks: list[Operation] = []
    for entry in entries:
        if (op := entry.op) is not None:
            by_target.setdefault(op.target.id, []).append(op)
            if op.kind == OperationKind.VM_BULK:
                bulks.append(op)
            for lock in op.locks:
                by_target.setdefault(lock.id, []).append(op)
    makers = [op for ops in by_target.values() for op in ops if op.kind in _CHANGES_VOLUMES]
    return [entry for entry in entries if entry.op is not None or not _is_told(entry, by_target, makers, bulks)]


def _is_told(
    event: ActivityEntry, by_target: dict[str, list[Operation]], makers: Sequence[Operation], bulks: Sequence[Operation]
) -> bool:
    if event.type == "vm.crashed":
        return False
    if event.type.startswith("volume."):
        alike = (op for op in makers if event.target.startswith(one_line(op.target.name)))
        return any(_during(event, op) for op in (*alike, *by_target.get(event.target_id, ())))
    known = by_target.get(event.target_id, ())
    return any(_during(event, op) and _causes(op, event) for op in (*known, *bulks))


def _causes(op: Operation, event: ActivityEntry) -> bool:
    """An event of a VM has the actor of the operation that ran on it, unless it was read so early that the server did
    not know of the operation yet."""
    if event.actor or op.kind == OperationKind.VM_BULK:
        return event.actor == op.actor
    return event.type in _RESULTS.get(op.kind, ())


def _during(event: ActivityEntry, op: Operation) -> bool:
    end = op.finished_at if op.state.ended else event.at
    return end is not None and op.created_at <= event.at <= end + _LATE


def _folded(entries: Sequence[ActivityEntry], shown: Shown) -> list[ActivityEntry]:
    """The entries with each group as one row, at the place of its newest; an open group is followed by its members."""
    rows: list[ActivityEntry] = []
    for group in _groups(entries, shown):
        if len(group) < FOLD_FROM:
            rows += group
            continue
        rows.append(_head(group))
        if any(entry.id in shown.open for entry in group):
            rows += group
    return sorted(rows, key=lambda entry: entry.at, reverse=True)


def _groups(entries: Sequence[ActivityEntry], shown: Shown) -> Iterable[list[ActivityEntry]]:
    """The same things that one actor did on one day, each within a minute of the next."""
    groups: list[list[ActivityEntry]] = []
    current: dict[object, list[ActivityEntry]] = {}
    for entry in entries:
        here = shown.last_here is not None and entry.at > shown.last_here
        key = (entry.what, entry.actor, local(entry.at).date(), here)
        group = current.get(key)
        if group is None or group[-1].at - entry.at > _RUN or entry.type == "vm.crashed":
            group = current[key] = []
            groups.append(group)
        group.append(entry)
    return groups


def _head(group: Sequence[ActivityEntry]) -> ActivityEntry:
    newest, oldest = group[0], group[-1]
    details = {entry.detail for entry in group}
    return replace(
        newest,
        id=f"group {oldest.id}",
        what=f"{len(group):,} {newest.what}",
        target=_common_name([entry.target for entry in group]),
        detail=details.pop() if len(details) == 1 else "",
        op=None,
        folded=tuple(group),
    )


def _common_name(names: Sequence[str]) -> str:
    """`dns-*` for names that begin alike."""
    if len(set(names)) == 1:
        return names[0]
    prefix = shared_beginning(min(names), max(names)).rstrip("0123456789")
    return f"{prefix}*" if len(prefix) >= _MIN_PREFIX else f"{names[0]} and others"


def _with_lines(rows: Sequence[ActivityEntry], shown: Shown) -> list[ActivityEntry]:
    """The rows with a line above each day, and one below what happened since the operator was last here. The line of a
    folded day stands for its rows."""
    found: list[ActivityEntry] = []
    hidden: dict[str, list[ActivityEntry]] = {}
    day, newer = "", False
    for row in rows:
        here = local(row.at)
        if shown.last_here is not None and newer and row.at <= shown.last_here:
            found.append(line("last here", f"since you were last here ({_moment(shown.last_here, row.at)})"))
            newer = False
        elif shown.last_here is not None and row.at > shown.last_here:
            newer = True
        if f"day {here.date()}" != day:
            day = f"day {here.date()}"
            found.append(line(day, f"{here:%a} {here.day} {here:%b}"))
        if day in shown.closed:
            hidden.setdefault(day, []).append(row)
        else:
            found.append(row)
    return [_folded_day(row, hidden[row.id]) if row.id in hidden else row for row in found]


def _folded_day(head: ActivityEntry, rows: Sequence[ActivityEntry]) -> ActivityEntry:
    """The line of a day that stands for its rows; of an open group the members are among them."""
    members = {member.id: member for row in rows for member in row.folded or (row,)}
    return replace(head, line=f"{head.line}: {counted(len(members), 'entry')}", folded=tuple(members.values()))


def _moment(at: datetime, other: datetime) -> str:
    here = local(at)
    return f"{here:%H:%M}" if local(other).date() == here.date() else f"{here:%a %H:%M}"


def line(id: str, text: str) -> ActivityEntry:
    """A row that is a line across the list."""
    return ActivityEntry(id=id, at=_NEVER, what="", tone="quiet", target="", state="", line=text)
