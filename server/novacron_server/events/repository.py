"""The SQL of lists of stored events. The filter fields are those of `rules.filters.events`, read from columns."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row, String, and_, case, false, func, literal_column, not_, or_, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.events import Priority
from novacron_core.api.operations import Operation, Target
from novacron_core.api.stored_events import StoredEvent
from novacron_core.rules.event_words import EVENT_WORDS, all_operation_words
from novacron_core.rules.filters.events import NOTABLE, PART
from novacron_core.rules.filters.language import Term, fold, has_wildcards, matcher, plain_matcher
from novacron_server.database.filter_sql import Condition, Text, in_time, like, negatable
from novacron_server.database.rows import storable
from novacron_server.database.tables import NOTABLE as IS_NOTABLE
from novacron_server.database.tables import events as t
from novacron_server.database.tables import operations
from novacron_server.inventory.subjects import NEEDED
from novacron_server.stream.shown import REFRESHES

_log = structlog.get_logger()

_OF_OPERATION = t.c.target_type == literal_column("'operation'")
_TARGET_ID: Text = literal_column("(\"row\" #>> '{target,id}')", String)
_TARGET_NAME: Text = case(
    (_OF_OPERATION, literal_column("(\"row\" #>> '{target,name}')", String)), else_=t.c.target_name
)
_KIND: Text = func.coalesce(func.nullif(literal_column("(\"row\" ->> 'child_kind')", String), ""), t.c.target_name)
_DETAIL: Text = case((_OF_OPERATION, t.c.reason), else_=func.coalesce(func.nullif(t.c.reason, ""), t.c.note))
_PATHS = (
    r"""'/[^']*'|"/[^"]*"|[^\s'"]*/[^\s'"]*|[^\s'"]*@[^\s'"]*|[^\s'"]*[0-9]+(?:\.[0-9]+){3}[^\s'"]*"""
    r"""|[^\s'"]+\.[^\s'"]+:[0-9]{2,5}"""
)
_READABLE_DETAIL: Text = case((t.c.target_type == "host", ""), else_=func.regexp_replace(_DETAIL, _PATHS, "", "g"))
"""For readers who get the detail without the places of hosts: what they cannot read they cannot search for either."""
_TYPE_WORDS: Text = func.translate(func.regexp_replace(t.c.type, r"^.*\.", ""), "_-", "  ")
_TEXTS = {"by": t.c.actor, "state": t.c.after, "target": _TARGET_NAME, "type": t.c.type}
_MARKS: dict[str, Condition] = {
    NOTABLE: literal_column(f"({IS_NOTABLE})"),
    PART: and_(_OF_OPERATION, literal_column("(\"row\" ->> 'parent')").is_not(None)),
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to list. `tenants` and `families` (of types, `vm`) are those that the reader may see, None for all;
    `hosts` are the names by id, for the filter; `now` is the time of the filter's ages."""

    terms: Sequence[Term]
    now: datetime
    hosts: Mapping[str, str]
    tenants: Collection[str] | None = None
    families: Collection[str] | None = None
    from_: datetime | None = None
    to: datetime | None = None
    before: int | None = None
    targets: Collection[str] | None = None
    """The ids of what the reader sees, None for no limit: events about others are left out."""
    api_token: str = ""
    """Of a reader with such a limit: it also sees the operations that it has begun."""


async def page(
    connection: AsyncConnection, chosen: Selection, offset: int, limit: int, *, within_s: float
) -> tuple[list[StoredEvent], int]:
    """Return (one page, the number of all matches), newest first. The database ends a query that takes longer than
    `within_s`: both have that time together."""
    until = time.monotonic() + within_s
    where = _where(chosen)
    await _allow(connection, until)
    rows = await connection.execute(select(t).where(*where).order_by(t.c.seq.desc()).offset(offset).limit(limit))
    found = [_stored(row) for row in rows]
    if len(found) < limit and (found or not offset):
        return found, offset + len(found)  # the last page: a search that finds little need not be made twice
    await _allow(connection, until)
    total = (await connection.execute(select(func.count()).select_from(t).where(*where))).scalar_one()
    return found, int(total)


async def _allow(connection: AsyncConnection, until: float) -> None:
    """Give the next statements the time until then (time.monotonic)."""
    left_ms = max(1, round((until - time.monotonic()) * 1000))
    await connection.execute(text(f"SET LOCAL statement_timeout = {left_ms}"))


_TELLS = [t.c[name] != "" for name in ("note", "reason", "actor")] + [
    t.c[name].is_not(None) for name in ("before", "after")
]
"""Of an event that does not only make clients refresh its target, which may have changed by what other tenants do."""


def _where(chosen: Selection) -> list[Condition]:
    where: list[Condition] = []
    if chosen.tenants is not None:
        where += [t.c.tenant.in_(chosen.tenants), or_(t.c.type.not_in(REFRESHES), *_TELLS)]
    if chosen.families is not None:
        where.append(func.split_part(t.c.type, ".", 1).in_(chosen.families))
    if chosen.from_ is not None:
        where.append(t.c.time >= chosen.from_)
    if chosen.to is not None:
        where.append(t.c.time < chosen.to)
    if chosen.before is not None:
        where.append(t.c.seq < chosen.before)
    if chosen.targets is not None:
        ours = _TARGET_ID.in_(chosen.targets) | (
            literal_column("(\"row\" ->> 'api_token')", String) == chosen.api_token
        )
        about = or_(t.c.target_id.in_(chosen.targets), t.c.target_type.in_(NEEDED), and_(_OF_OPERATION, ours))
        where.append(about)
    return [*where, *(_term(term, chosen) for term in chosen.terms)]


def _term(term: Term, chosen: Selection) -> Condition:
    numeric = term.field in ("age", "since")
    return negatable(term, in_time(t.c.time, term, chosen.now) if numeric else _textual(term, chosen))


def _textual(term: Term, chosen: Selection) -> Condition:
    """Whether any of the term's values matches."""
    return or_(false(), *(_value(term, word, chosen) for word in term.values))


def _value(term: Term, word: str, chosen: Selection) -> Condition:
    matches = matcher(word, plain_matcher(term))
    if term.field == "is":
        return or_(false(), *(condition for mark, condition in _MARKS.items() if matches(mark)))
    if term.field == "host":
        return _on_hosts([key for key, name in chosen.hosts.items() if matches(fold(key)) or matches(fold(name))])
    if term.field == "id":
        return _has_id(word, term)
    if term.field == "what":
        return _has_words(word, term, matches)
    if term.field in _TEXTS:
        return like(_TEXTS[term.field], word, term)
    detail = _DETAIL if chosen.tenants is None else _READABLE_DETAIL
    if has_wildcards(word):
        texts = [like(part, word, term) for part in (*_TEXTS.values(), detail)]
    else:
        texts = [like(func.concat_ws("\x01", *_TEXTS.values(), detail), word, term)]
    return or_(*texts, _has_words(word, term, matches))


def _on_hosts(ids: Sequence[str]) -> Condition:
    ours = select(operations.c.id.cast(String)).where(operations.c.host_id.cast(String).in_(ids))
    return or_(t.c.source.in_(ids), and_(_OF_OPERATION, t.c.target_id.in_(ours)))


def _has_id(word: str, term: Term) -> Condition:
    """Whether an id of the event matches; a quoted one is found with an index."""
    if term.quoted and not has_wildcards(word):
        wanted = storable(word)
        return or_(t.c.target_id == wanted, and_(_OF_OPERATION, _TARGET_ID.op("=")(wanted)))
    return or_(like(t.c.target_id, word, term), and_(_OF_OPERATION, like(_TARGET_ID, word, term)))


def _has_words(word: str, term: Term, matches: Callable[[str], bool]) -> Condition:
    """Whether the words for what happened match (`event_words`)."""
    named = [kind for kind, words in EVENT_WORDS.items() if matches(fold(words))]
    pairs = [pair for pair, words in all_operation_words().items() if matches(fold(words))]
    others = and_(t.c.type.not_in(list(EVENT_WORDS)), like(_TYPE_WORDS, word, term))
    return or_(
        and_(not_(_OF_OPERATION), or_(t.c.type.in_(named), others)),
        and_(_OF_OPERATION, tuple_(_KIND, t.c.after).in_(pairs)),
    )


def _stored(row: Row[Any]) -> StoredEvent:
    return StoredEvent(
        seq=row.seq,
        id=row.id,
        type=row.type,
        source=row.source,
        target=Target(type=row.target_type, id=row.target_id, name=row.target_name),
        time=row.time.astimezone(UTC),
        tenant=row.tenant,
        priority=Priority(row.priority),
        note=row.note,
        before=row.before,
        after=row.after,
        reason=row.reason,
        actor=row.actor,
        operation=_operation(row) if row.target_type == "operation" and row.row is not None else None,
    )


def _operation(row: Row[Any]) -> Operation | None:
    """The operation that an event carries; None if it cannot be read: the event is listed without."""
    try:
        return msgspec.convert(row.row, Operation)
    except (msgspec.ValidationError, ValueError, TypeError) as e:
        _log.error("the operation of an event cannot be read", seq=row.seq, id=row.target_id, reason=str(e))
        return None
