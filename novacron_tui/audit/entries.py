"""The rows of the audit log, and what their details say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from novacron_core.api.audit import AuditEntry, AuditResult, ChainCheck
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.counts import counted
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.detail import labelled
from novacron_tui.widgets.text_bar import Piece

TONES: dict[str, str] = {
    AuditResult.DONE: "good",
    AuditResult.ACCEPTED: "good",
    AuditResult.REFUSED: "warn",
    AuditResult.FAILED: "bad",
}
Lines = list[list[Piece]]
_DELETED = "(deleted by retention)"


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row: an entry, or a line across the list with this text."""

    id: str
    entry: AuditEntry | None = None
    line: str = ""


def key_of(entry: AuditEntry) -> str:
    return f"{entry.tenant} {entry.seq}"


def who(entry: AuditEntry) -> str:
    """`eve`, or `eve (token ci)`; nobody who is known is `-`."""
    name = one_line(entry.actor) or "-"
    return f"{name} (token {one_line(entry.token)})" if entry.token else name


def target(entry: AuditEntry) -> str:
    return one_line(entry.target.name or entry.target.id or entry.target.type)


def result(entry: AuditEntry) -> str:
    return f"{entry.result} ×{entry.times:,}" if entry.times > 1 else str(entry.result)


def local(at: datetime) -> datetime:
    """A time in the operator's zone; as it is, where that has none."""
    try:
        return at.astimezone()
    except (OverflowError, ValueError):
        return at


def with_days(entries: Iterable[AuditEntry]) -> list[AuditRow]:
    """The entries, newest first, with a line above each day."""
    rows: list[AuditRow] = []
    day: date | None = None
    for entry in entries:
        here = local(entry.time)
        if here.date() != day:
            day = here.date()
            rows.append(AuditRow(f"day {day}", line=f"{here:%a} {here.day} {here:%b}"))
        rows.append(AuditRow(key_of(entry), entry))
    return rows


def sentence(entry: AuditEntry) -> list[Piece]:
    """Who did what on what, from where, when and with what result, in one line."""
    role = f" ({one_line(entry.role)})" if entry.role else ""
    place = f" from {one_line(entry.address)}" if entry.address else ""
    what = f"{one_line(entry.action)} {target(entry)}".rstrip()
    return [
        Piece(who(entry), "strong"),
        Piece(f"{role}{place}: {what}, "),
        Piece(result(entry), TONES.get(entry.result, "plain")),
        Piece(f", {local(entry.time):%H:%M:%S}"),
        Piece(f"  {one_line(entry.detail)}", "quiet", 1),
    ]


def detail_lines(entry: AuditEntry, now: datetime) -> Lines:
    """All fields of an entry."""
    here = local(entry.time)
    when = f"{here:%Y-%m-%d %H:%M:%S} {here.tzname() or ''}, {age_text(age_s(entry.time, now))} ago"
    on = " ".join(one_line(text) for text in (entry.target.type, entry.target.name, entry.target.id) if text)
    refused = f"{entry.status} {one_line(entry.code)}".strip() if entry.status else ""
    lines = labelled(
        [
            ("who", who(entry)),
            ("role", one_line(entry.role)),
            ("from", one_line(entry.address)),
            ("what", one_line(entry.action)),
            ("on", on),
            ("result", result(entry)),
            ("status", refused),
            ("detail", one_line(entry.detail)),
            ("when", when),
            ("tenant", one_line(entry.tenant) or "(installation)"),
            ("entry", f"{entry.seq:,}"),
            ("request", one_line(entry.request_id)),
            ("session", one_line(entry.session_id)),
            ("user id", one_line(entry.actor_id)),
        ]
    )
    hashes = [("hash", one_line(entry.hash)), ("previous hash", one_line(entry.previous) or _DELETED)]
    return [*lines, [Piece("")], *(labelled(hashes) if entry.hash else [])]


def check_lines(checks: Iterable[ChainCheck], export: str) -> Lines:
    """What a verification has found, and how to keep a copy that proves it. `export` is the command."""
    lines: Lines = []
    for check in checks:
        name = one_line(check.tenant) or "(installation)"
        entries = counted(check.entries, "entry")
        if check.reason:
            at = f"entry {check.bad_seq}: {one_line(check.reason)}"
            lines.append([Piece(name, "strong"), Piece(f"  {entries}, "), Piece(f"broken at {at}", "bad")])
        else:
            pruned = f"; up to {check.pruned:,} deleted by retention" if check.pruned else ""
            lines.append(
                [Piece(name, "strong"), Piece(f"  {entries}, "), Piece("whole", "good"), Piece(pruned, "quiet")]
            )
        if check.head:
            lines.append([Piece(f"  signed head {check.head:,}  {one_line(check.head_hash)}", "quiet")])
    return [
        *lines,
        [Piece("")],
        [Piece("Store a copy where administrators of this server cannot change it:", "quiet")],
        [Piece(f"{one_line(export)} > audit.jsonl", "accent")],
        [Piece("novacron audit verify audit.jsonl", "accent")],
    ]
