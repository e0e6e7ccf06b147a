"""The SQL of the audit log. The application's role may only insert entries, and prune them up to a checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, false, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.audit import AuditEntry, AuditResult
from novacron_core.api.operations import Target
from novacron_core.rules.audit_chain import FIELDS, GENESIS, SignedHash, link
from novacron_core.rules.audit_chain import Row as ChainRow
from novacron_core.rules.filters.language import Term, has_wildcards
from novacron_server.audit.chain import microseconds
from novacron_server.audit.records import AuditDraft
from novacron_server.database.filter_sql import Condition, Text, in_time, like, negatable
from novacron_server.database.tables import audit_checkpoints as k
from novacron_server.database.tables import audit_entries as t
from novacron_server.database.tables import tenants

_LOCK = text("SELECT seq, hash FROM lock_audit(:tenant)")
"""Locks a chain, and then reads its last entry: with a new snapshot, in one round trip."""
_INSERT = insert(t)
_STREAMED = (
    "SELECT tenant, seq, (extract(epoch FROM time) * 1000000)::bigint, actor_id, actor, role, address, session_id, token, "
    "action, target_type, target_id, target_name, result, status, code, request_id, detail, times, hash "
    "FROM audit_entries WHERE tenant = %s AND seq > %s ORDER BY seq"
)
"""The values of a hash, in the order of FIELDS, and the hash."""
BATCH = 2000
_LENGTHS = {"actor": 64, "address": 64, "token": 64, "action": 64, "target_type": 32, "target_id": 128}
_LENGTHS |= {"target_name": 128, "code": 64, "request_id": 64, "detail": 500}


@dataclass(frozen=True, slots=True)
class Tail:
    """The last entry of a chain; (0, GENESIS) before the first."""

    seq: int
    hash: bytes


async def write(conn: AsyncConnection, drafts: Sequence[AuditDraft]) -> None:
    """Write entries, each at the end of the chain of its tenant. Call it LAST in a transaction, or directly before
    `outbox.append`: each chain is locked until the commit, so that its numbers and hashes are in the order of commits.
    """
    chains: dict[str, list[AuditDraft]] = defaultdict(list)
    for draft in drafts:
        chains[draft.tenant].append(draft)
    for tenant in sorted(chains):  # always in this order, so that two transactions do not wait for each other
        found = (await conn.execute(_LOCK, {"tenant": tenant})).first()
        last = Tail(int(found.seq), bytes(found.hash)) if found else Tail(0, GENESIS)
        now = datetime.now(UTC)
        rows: list[dict[str, Any]] = []
        for seq, draft in enumerate(chains[tenant], last.seq + 1):
            rows.append(_row(seq, draft, now, rows[-1]["hash"] if rows else last.hash))
        await conn.execute(_INSERT, rows)


async def tail(conn: AsyncConnection, tenant: str) -> Tail:
    """The last entry of a chain, also when retention has deleted it."""
    for table in (t, k):
        query = select(table.c.seq, table.c.hash).where(table.c.tenant == tenant).order_by(table.c.seq.desc()).limit(1)
        if (row := (await conn.execute(query)).first()) is not None:
            return Tail(int(row.seq), bytes(row.hash))
    return Tail(0, GENESIS)


async def tails(conn: AsyncConnection, of: Collection[str]) -> dict[str, Tail]:
    """The last entries of several chains."""
    last = text(
        "SELECT chain.tenant, e.seq, e.hash FROM unnest(CAST(:tenants AS text[])) AS chain (tenant) CROSS JOIN LATERAL "
        "(SELECT seq, hash FROM audit_entries WHERE tenant = chain.tenant ORDER BY seq DESC LIMIT 1) e"
    )
    rows = await conn.execute(last, {"tenants": list(of)})
    found = {row.tenant: Tail(int(row.seq), bytes(row.hash)) for row in rows}
    pruned = await conn.execute(select(k.c.tenant, k.c.seq, k.c.hash).where(k.c.tenant.in_(set(of) - set(found))))
    found |= {row.tenant: Tail(int(row.seq), bytes(row.hash)) for row in pruned}
    return {tenant: found.get(tenant, Tail(0, GENESIS)) for tenant in of}


async def chains(conn: AsyncConnection) -> list[str]:
    """The tenants that have a chain, and the installation."""
    known = set((await conn.execute(select(tenants.c.id))).scalars()) | {""}
    known |= set((await conn.execute(select(k.c.tenant).distinct())).scalars())
    # A loose index scan: the table may have millions of rows, of a few tenants.
    step = text(
        "WITH RECURSIVE chain (tenant) AS ((SELECT min(tenant) FROM audit_entries) UNION ALL "
        "SELECT (SELECT min(e.tenant) FROM audit_entries e WHERE e.tenant > chain.tenant) FROM chain "
        "WHERE chain.tenant IS NOT NULL) SELECT tenant FROM chain WHERE tenant IS NOT NULL"
    )
    return sorted(known | set((await conn.execute(step)).scalars()))


async def checkpoint(conn: AsyncConnection, tenant: str) -> SignedHash | None:
    """The last entry that was pruned from a chain, as it was signed."""
    query = select(k).where(k.c.tenant == tenant).order_by(k.c.seq.desc()).limit(1)
    row = (await conn.execute(query)).first()
    if row is None:
        return None
    return SignedHash(
        purpose="checkpoint",
        tenant=row.tenant,
        seq=row.seq,
        hash=bytes(row.hash).hex(),
        time=row.time.astimezone(UTC).isoformat(),
        key=row.key,
        signature=row.signature,
    )


async def stream(conn: AsyncConnection, tenant: str, after: int) -> AsyncIterator[list[ChainRow]]:
    """The entries of a chain after one, in batches, as they are now: read with a cursor of the server."""
    driver: Any = (await conn.get_raw_connection()).driver_connection
    async with driver.cursor(name="audit", binary=True) as cursor:
        await cursor.execute(_STREAMED, (tenant, after))
        while rows := await cursor.fetchmany(BATCH):
            yield rows


async def last_before(conn: AsyncConnection, tenant: str, before: datetime) -> Tail | None:
    """The last entry of the beginning of a chain in which all entries are older than a time; None when there is none."""
    newer = select(func.min(t.c.seq)).where(t.c.tenant == tenant, t.c.time >= before).scalar_subquery()
    query = select(t.c.seq, t.c.hash).where(t.c.tenant == tenant, or_(newer.is_(None), t.c.seq < newer))
    row = (await conn.execute(query.order_by(t.c.seq.desc()).limit(1))).first()
    return None if row is None else Tail(int(row.seq), bytes(row.hash))


async def prune(conn: AsyncConnection, signed: SignedHash) -> int:
    """Delete the entries of a chain up to a signed one, which becomes its checkpoint; returns how many."""
    at = datetime.fromisoformat(signed.time)
    call = func.prune_audit(signed.tenant, signed.seq, signed.digest, at, signed.key, signed.signature)
    return int((await conn.execute(select(call))).scalar_one())


# -- lists ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntrySelection:
    """Which entries to list. `tenant` is the only chain that the reader may see, None for all; `now` is the time of the
    filter's ages."""

    terms: Sequence[Term]
    now: datetime
    tenant: str | None = None
    from_: datetime | None = None
    to: datetime | None = None


_before = t.alias("before")
_PREVIOUS = (
    select(_before.c.hash)
    .where(_before.c.tenant == t.c.tenant, _before.c.seq == t.c.seq - 1)
    .correlate(t)
    .scalar_subquery()
    .label("previous")
)
"""The hash of the entry before, NULL where there is none."""
_VERB: Text = func.regexp_replace(t.c.action, r"^[^.]*\.", "")
_COLUMNS: dict[str, tuple[Text, ...]] = {
    "name": (t.c.actor, t.c.action, t.c.target_name, t.c.address, t.c.result, t.c.detail),
    "who": (t.c.actor, t.c.actor_id),
    "user": (t.c.actor, t.c.actor_id),
    "by": (t.c.actor, t.c.actor_id),
    "role": (t.c.role,),
    "action": (t.c.action, _VERB),
    "target": (t.c.target_name, t.c.target_id),
    "type": (t.c.target_type,),
    "from": (t.c.address,),
    "result": (t.c.result,),
    "tenant": (t.c.tenant,),
    "token": (t.c.token,),
    "session": (t.c.session_id,),
    "request": (t.c.request_id,),
}


async def page(conn: AsyncConnection, chosen: EntrySelection, offset: int, limit: int) -> tuple[list[AuditEntry], int]:
    """Return (one page, the number of all matches), newest first."""
    where = _where(chosen)
    total = (await conn.execute(select(func.count()).select_from(t).where(*where))).scalar_one()
    order = (t.c.time.desc(), t.c.tenant, t.c.seq.desc())
    query = select(t, _PREVIOUS).where(*where).order_by(*order).offset(offset).limit(limit)
    return [_entry(row) for row in await conn.execute(query)], int(total)


def _where(chosen: EntrySelection) -> list[Condition]:
    where: list[Condition] = []
    if chosen.tenant is not None:
        where.append(t.c.tenant == chosen.tenant)
    if chosen.from_ is not None:
        where.append(t.c.time >= chosen.from_)
    if chosen.to is not None:
        where.append(t.c.time < chosen.to)
    return [*where, *(_term(term, chosen.now) for term in chosen.terms)]


def _term(term: Term, now: datetime) -> Condition:
    if term.field in ("age", "since"):
        return negatable(term, in_time(t.c.time, term, now))
    columns = _COLUMNS[term.field]
    found = [like(column, word, term) for word in term.values for column in columns]
    if term.field == "name" and not any(has_wildcards(word) for word in term.values):
        found = [like(func.concat_ws("\x01", *columns), word, term) for word in term.values]
    return negatable(term, or_(false(), *found))


# -- rows ----------------------------------------------------------------------------------------------------------------


def _row(seq: int, draft: AuditDraft, now: datetime, previous: bytes) -> dict[str, Any]:
    actor, target = draft.actor, draft.target
    texts = {
        "actor_id": actor.id,
        "actor": actor.name,
        "role": actor.role,
        "address": actor.address,
        "session_id": actor.session_id,
        "token": actor.token,
        "action": draft.action,
        "target_type": target.type,
        "target_id": target.id,
        "target_name": target.name,
        "result": str(draft.result),
        "code": draft.code,
        "request_id": actor.request_id,
        "detail": draft.detail,
    }
    row: dict[str, Any] = {name: _clean(value, _LENGTHS.get(name, 64)) for name, value in texts.items()}
    row |= {"tenant": draft.tenant, "seq": seq, "time": draft.time or now, "status": draft.status, "times": draft.times}
    values = [microseconds(row[name]) if name == "time" else row[name] for name in FIELDS]
    return row | {"hash": link(previous, values)}


def _clean(value: str, longest: int) -> str:
    """Text of at most so many characters that a terminal and a database can take: no control or format characters."""
    cut = value[:longest]
    return cut if cut.isprintable() else "".join(letter if letter.isprintable() else "\ufffd" for letter in cut)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        tenant=row.tenant,
        seq=row.seq,
        time=row.time.astimezone(UTC),
        actor_id=row.actor_id,
        actor=row.actor,
        role=row.role,
        address=row.address,
        session_id=row.session_id,
        token=row.token,
        action=row.action,
        target=Target(type=row.target_type, id=row.target_id, name=row.target_name),
        result=AuditResult(row.result),
        status=row.status,
        code=row.code,
        request_id=row.request_id,
        detail=row.detail,
        times=row.times,
        hash=bytes(row.hash).hex(),
        previous=_previous(row),
    )


def _previous(row: Row[Any]) -> str:
    if row.seq == 1:
        return GENESIS.hex()
    return bytes(row.previous).hex() if row.previous is not None else ""
