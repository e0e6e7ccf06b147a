"""The rows of the activity list: operations, and events that are not about an operation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from novacron_core.api.events import Event
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM
from novacron_core.rules.filters.language import FilterField
from novacron_core.values.ages import age_s, age_text
from novacron_tui.connection.store import Store
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.page import OP_TONES, event_words, operation_words, relevant_time
from novacron_tui.widgets.text_bar import Piece

Lines = list[list[Piece]]
_LABEL = 12


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """`at` is the time of an event; for an operation its end, or its creation while it runs. `detail` is the reason,
    step or note. The `state` of an event is `event`."""

    id: str
    at: datetime
    what: str
    tone: str
    target: str
    state: str
    actor: str = ""
    detail: str = ""
    op: Operation | None = None
    target_id: str = ""
    source: str = ""
    """The host that reported an event."""

    def is_about(self, vm: VM) -> bool:
        """Whether this VM is the target, and not one with the same UUID on another host."""
        return self.target_id == vm.id and self.source not in vm.duplicate_on

    @property
    def runs(self) -> bool:
        return self.op is not None and not self.op.state.ended


FIELDS: dict[str, FilterField[ActivityEntry]] = {
    "name": FilterField(lambda entry: f"{entry.target} {entry.what} {entry.actor} {entry.state} {entry.detail}"),
    "target": FilterField(lambda entry: entry.target),
    "what": FilterField(lambda entry: entry.what),
    "state": FilterField(lambda entry: entry.state),
    "by": FilterField(lambda entry: entry.actor),
}
"""The filter fields; plain words are searched in all texts of a row."""


def entries(store: Store, *, folded: bool = True) -> list[ActivityEntry]:
    """All rows: running operations first, then the newest. `folded`: without the operations of bulks that are listed
    themselves."""
    events = (event for event in store.events if event.target.type != "operation")
    event_entries = [_of_event(event) for event in events if event.note or not event.type.endswith(".updated")]
    known = store.operations
    listed = (op for op in known.values() if not (folded and op.parent in known))
    shown = [*(of_operation(op) for op in listed), *event_entries]
    shown.sort(key=lambda entry: (entry.runs, entry.at), reverse=True)
    return shown


def why_not_cancel(entry: ActivityEntry, _store: Store) -> str | None:
    """The sentence that refuses to cancel an entry, or None."""
    if entry.op is None:
        return "only running operations can be cancelled"
    if entry.op.state.ended:
        return f"{entry.target}: {entry.what}: already finished"
    if not entry.op.may_cancel:
        return f"{entry.target}: {entry.what}: cannot be cancelled at this step"
    return None


def of_operation(op: Operation) -> ActivityEntry:
    """The row of an operation."""
    reason = (op.problem.detail or op.problem.title) if op.problem else ""
    return ActivityEntry(
        id=f"operation {op.id}",
        at=relevant_time(op),
        what=one_line(operation_words(op)),
        tone=OP_TONES.get(op.state, "busy"),
        target=one_line(op.target.name or op.target.id),
        state=str(op.state),
        actor=one_line(op.actor),
        detail=one_line(reason or ("" if op.state.ended else op.step)),
        op=op,
        target_id=op.target.id,
    )


def _of_event(event: Event) -> ActivityEntry:
    words, tone = event_words(event.type)
    target = one_line(event.target.name or event.target.id)
    return ActivityEntry(
        id=f"event {event.id}",
        at=event.time,
        what=words,
        tone=tone,
        target=target,
        state="event",
        detail=one_line(event.note),
        target_id=event.target.id,
        source=event.source,
    )


def _when(at: datetime, now: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC, {age_text(age_s(at, now))} ago"


def detail_lines(entry: ActivityEntry, now: datetime) -> Lines:
    """All properties of an entry, uncut."""
    rows = [("what", entry.what), ("target", entry.target), ("state", entry.state), ("by", entry.actor)]
    if (op := entry.op) is None:
        rows.append(("when", _when(entry.at, now)))
    else:
        rows.append(
            ("started", _when(op.started_at, now)) if op.started_at else ("requested", _when(op.created_at, now))
        )
        if op.finished_at:
            rows.append(("ended", _when(op.finished_at, now)))
        if op.started_at and op.finished_at:
            rows.append(("took", f"{(op.finished_at - op.started_at).total_seconds():.1f} s"))
        if op.progress is not None:
            rows.append(("progress", f"{op.progress:.0%}"))
        rows.append(("step", one_line(op.step)))
        if op.problem:
            rows.append(("request", one_line(op.problem.request_id)))
    rows.append(("id", entry.id.partition(" ")[2]))
    lines = [[Piece(label.ljust(_LABEL), "quiet"), Piece(one_line(text))] for label, text in rows if text]
    if entry.detail:
        lines += [[Piece("")], [Piece(entry.detail, "bad" if entry.tone == "bad" else "strong")]]
    return lines
