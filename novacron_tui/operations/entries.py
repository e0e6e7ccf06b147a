"""The rows of the activity list: operations, and events that are not about an operation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from novacron_core.api.events import Event
from novacron_core.api.operations import Operation
from novacron_core.api.stored_events import StoredEvent
from novacron_core.api.vms import VM
from novacron_core.rules import event_words as rules
from novacron_core.rules.event_words import ENDS, change_words, is_notable
from novacron_core.rules.filters.events import NOTABLE, PART
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
    step or note; `state` is the state after it, empty where nothing changed its state.

    `line`: the row is no happening, but a line across the list with this text. `folded`: it stands for these.
    """

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
    type: str = ""
    before: str = ""
    hosts: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    line: str = ""
    folded: tuple[ActivityEntry, ...] = ()

    @property
    def own_id(self) -> str:
        """The id of its operation or event."""
        return self.id.partition(" ")[2]

    @property
    def ids(self) -> tuple[str, ...]:
        return (self.target_id, self.op.id) if self.op else (self.target_id,)

    def is_about(self, vm: VM) -> bool:
        """Whether this VM is the target, and not one with the same UUID on another host."""
        return self.target_id == vm.id and self.source not in vm.duplicate_on

    @property
    def runs(self) -> bool:
        return self.op is not None and not self.op.state.ended


def why_not_cancel(entry: ActivityEntry, _store: Store) -> str | None:
    """The sentence that refuses to cancel an entry, or None."""
    if entry.op is None:
        return "only running operations can be cancelled"
    if entry.op.state.ended:
        return f"{entry.target}: {entry.what}: already finished"
    if not entry.op.may_cancel:
        return f"{entry.target}: {entry.what}: cannot be cancelled at this step"
    return None


def of_operation(op: Operation, hosts: tuple[str, ...] = ()) -> ActivityEntry:
    """The row of an operation. `hosts` are the id and name of its target's host."""
    reason = op.problem.sentence if op.problem else ""
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
        type=f"operation.{op.state}",
        hosts=hosts,
        marks=((NOTABLE,) if op.state.ended else ()) + ((PART,) if op.parent else ()),
    )


def of_event(event: Event | StoredEvent, host_name: str) -> ActivityEntry:
    """The row of an event that carries no operation. `host_name` is the name of its source, if that is a host."""
    words, tone = event_words(event.type)
    ended = ENDS.get(event.type)
    if event.target.type == "operation" and ended is not None:  # its operation could not be read
        words, tone = rules.operation_words(event.target.name, ended), OP_TONES.get(ended, "plain")
    return ActivityEntry(
        id=f"event {event.id}",
        at=event.time,
        what=one_line(words),
        tone=tone,
        target=one_line(event.target.name or event.target.id),
        state=one_line(event.after or ""),
        actor=one_line(event.actor),
        detail=one_line(event.reason or event.note),
        target_id=event.target.id,
        source=event.source,
        type=one_line(event.type),
        before=one_line(event.before or ""),
        hosts=(event.source, one_line(host_name)),
        marks=(NOTABLE,) if is_notable(event.type, event.note) else (),
    )


def local(at: datetime) -> datetime:
    """A time in the operator's zone; as it is, where that has none."""
    try:
        return at.astimezone()
    except (OverflowError, ValueError):
        return at


def _when(at: datetime, now: datetime) -> str:
    here = local(at)
    return f"{here:%Y-%m-%d %H:%M:%S} {here.tzname() or ''}, {age_text(age_s(at, now))} ago"


def detail_lines(entry: ActivityEntry, now: datetime) -> Lines:
    """All properties of an entry, uncut."""
    state = change_words(entry.before, entry.state) if entry.op is None else entry.state
    rows = [("what", entry.what), ("target", entry.target), ("state", state), ("by", entry.actor)]
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
    rows.append(("id", entry.own_id))
    lines = [[Piece(label.ljust(_LABEL), "quiet"), Piece(one_line(text))] for label, text in rows if text]
    if entry.detail:
        lines += [[Piece("")], [Piece(entry.detail, "bad" if entry.tone == "bad" else "strong")]]
    return lines
