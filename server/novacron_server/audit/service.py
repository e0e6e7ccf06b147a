"""Lists, verifies, exports and prunes the audit log. An owner reads the chain of his tenant, an administrator all."""

from __future__ import annotations

import asyncio
import math
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.audit import (
    INSTALLATION,
    AuditCheck,
    AuditEntry,
    AuditQuery,
    AuditResult,
    ChainCheck,
    ChainQuery,
)
from novacron_core.api.base import Page
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.rules.audit_chain import FIELDS, SignedHash, Walk
from novacron_core.rules.filters.audit import audit_fields
from novacron_core.rules.filters.language import FilterError, Term, parse_filter
from novacron_core.rules.visibility import Principal, may_see
from novacron_server.audit import repository
from novacron_server.audit.chain import Signer, start_of
from novacron_server.audit.heads import Heads
from novacron_server.audit.records import AuditDraft, acting
from novacron_server.database.transactions import Connection, Database
from novacron_server.database.turns import Turns

T = TypeVar("T")
_SEARCH_S = 8.0
_PART_S = 5.0
"""How long a chain is read for one answer: clients wait 15 s for it."""
_PART_ENTRIES = 20_000
"""Entries in one answer of an export."""
_READ_S = 30.0
_WAIT_S = 6.0
"""How long a read waits for others. With the read itself, less than clients wait."""
_BUSY = "other reads of the audit log are running: try again in a few seconds"
_WHOLE_S = 3600.0
_log = structlog.get_logger(__name__)


class _Position(msgspec.Struct, frozen=True, array_like=True):
    """Where the next part begins: after an entry of a chain, whose hash was right."""

    tenant: str
    seq: int
    hash: str
    pruned: int


class _SignedPosition(msgspec.Struct, frozen=True, array_like=True):
    """A position as callers keep it: nobody but this server says what was right."""

    position: _Position
    signed: SignedHash


class Audit:
    """One per server."""

    def __init__(
        self,
        database: Database,
        heads: Heads,
        signer: Signer,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        part_s: float = _PART_S,
    ) -> None:
        self._database = database
        self._heads = heads
        self._signer = signer
        self._now = now
        self._part_s = part_s
        self._walks = Turns(2, within=database.long_reads)
        self._searches = Turns(2, within=database.long_reads)

    @asynccontextmanager
    async def recorded(self, action: str, kind: str, name: str) -> AsyncIterator[list[str]]:
        """Record a change of something that is in no database: as accepted before it is made, so that none is made
        without a record, and as done afterwards. Details go into the list. A refusal is recorded as of any request.

        Raises DatabaseUnavailable before the change.
        """
        entry = AuditDraft(
            tenant=INSTALLATION,
            action=action,
            target=Target(type=kind, id=name, name=name),
            result=AuditResult.ACCEPTED,
            actor=acting(),
        )
        details: list[str] = []
        await self._database.run(lambda conn: repository.write(conn, [entry]))
        yield details
        done = msgspec.structs.replace(entry, result=AuditResult.DONE, detail=", ".join(details))
        try:
            await self._database.run(lambda conn: repository.write(conn, [done]))
        except errors.DatabaseUnavailable as e:  # it is made, and known to have been accepted
            _log.warning("audit_end_not_recorded", action=action, name=name, reason=e.detail)

    async def page(self, principal: Principal, query: AuditQuery) -> Page[AuditEntry]:
        """One page, newest first. Raises ValidationFailed naming the parameter, RateLimited while other reads take long,
        DatabaseUnavailable."""
        now = self._now()
        if query.from_ is not None and query.to is not None and query.from_ > query.to:
            raise _invalid("from", "must not be later than to")
        chosen = repository.EntrySelection(
            terms=_terms(query.q, now),
            now=now,
            tenant=None if _sees_all(principal) else principal.tenant,
            from_=query.from_,
            to=query.to,
        )
        offset = (query.page - 1) * query.page_size
        async with self._searches.of(principal, _WAIT_S, _BUSY):
            items, total = await self._database.run(
                lambda conn: repository.page(conn, chosen, offset, query.page_size),
                read_only=True,
                timeout_s=_SEARCH_S,
            )
        return Page(items=items, total=total, page=query.page, page_size=query.page_size)

    # -- whole chains ------------------------------------------------------------------------------------------------

    async def verify(self, principal: Principal, query: ChainQuery) -> AuditCheck:
        """Verify chains, for a few seconds; `next` continues. Raises NotFound for a chain that the principal may not
        read, ValidationFailed, DatabaseUnavailable."""
        until = time.monotonic() + self._part_s

        async def work(conn: Connection, tenants: list[str], position: _Position | None) -> AuditCheck:
            checks = []
            for tenant in tenants:
                check, position = await self._verify(conn, tenant, position, until)
                checks.append(check)
                if position is not None:
                    return AuditCheck(chains=checks, next=self._pack(position))
            return AuditCheck(chains=checks)

        return await self._read(principal, query, work)

    async def _verify(
        self, conn: Connection, tenant: str, position: _Position | None, until: float
    ) -> tuple[ChainCheck, _Position | None]:
        head = self._heads.head(tenant)
        walk, pruned = await self._start(conn, tenant, head, position)
        first, complete = walk.seq + 1, True
        if walk.bad_seq is None:
            async for rows in repository.stream(conn, tenant, walk.seq):
                if not await asyncio.to_thread(walk.follow, rows):
                    break
                if time.monotonic() > until:
                    complete = False
                    break
        if complete:
            walk.end(head)
        reason = walk.reason or (self._heads.problem(tenant) if complete else "")
        check = ChainCheck(
            tenant=tenant,
            entries=walk.entries,
            first=first if walk.entries else 0,
            last=walk.seq if walk.entries else 0,
            pruned=pruned,
            bad_seq=walk.bad_seq if walk.bad_seq is not None or not reason else walk.seq,
            reason=reason,
            head=head.seq if head else 0,
            head_hash=head.hash if head else "",
        )
        return check, None if complete else _Position(tenant, walk.seq, walk.hash.hex(), pruned)

    async def verify_all(self) -> None:
        """Verify every chain as a whole, and warn of those that were changed. Raises DatabaseUnavailable."""
        for tenant in await self._database.run(self._tenants, read_only=True):
            check = await self._database.run(partial(self._verify_whole, tenant), read_only=True, timeout_s=_WHOLE_S)
            if check.reason:
                await self._heads.tell(tenant, f"entry {check.bad_seq} is not as it was written ({check.reason})")

    async def _verify_whole(self, tenant: str, conn: Connection) -> ChainCheck:
        return (await self._verify(conn, tenant, None, math.inf))[0]

    async def export(self, principal: Principal, query: ChainQuery) -> bytes:
        """Chains as JSON lines, up to their signed heads; each line says in `record` what it is. The last line is a
        `next` when there is more. Raises what `verify` raises."""
        await self._heads.advance()

        async def work(conn: Connection, tenants: list[str], position: _Position | None) -> bytes:
            lines: list[bytes] = []
            for tenant in tenants:
                position = await self._export(conn, tenant, position, lines)
                if position is not None:
                    lines.append(_line("next", {"after": self._pack(position)}))
                    break
            return b"".join(lines)

        return await self._read(principal, query, work)

    async def _export(
        self, conn: Connection, tenant: str, position: _Position | None, lines: list[bytes]
    ) -> _Position | None:
        head = self._heads.head(tenant)
        if position is None:
            signed = await repository.checkpoint(conn, tenant)
            lines.append(_line("chain", {"tenant": tenant, "fields": FIELDS, "checkpoint": signed}))
        after = position.seq if position else 0
        async for rows in repository.stream(conn, tenant, after):
            kept = [row for row in rows if head is None or row[1] <= head.seq]
            lines += [
                _line("entry", dict(zip((*FIELDS, "hash"), (*row[:-1], row[-1].hex()), strict=True))) for row in kept
            ]
            if len(lines) >= _PART_ENTRIES and kept:
                return _Position(tenant, kept[-1][1], kept[-1][-1].hex(), 0)
            await asyncio.sleep(0)
        lines.append(_line("head", {"tenant": tenant, "signed": head, "problem": self._heads.problem(tenant)}))
        return None

    async def _start(
        self, conn: Connection, tenant: str, head: SignedHash | None, position: _Position | None
    ) -> tuple[Walk, int]:
        if position is not None:
            signed = {head.seq: head.digest} if head else {}
            return Walk(position.seq, bytes.fromhex(position.hash), signed), position.pruned
        checkpoint = await repository.checkpoint(conn, tenant)
        return start_of(checkpoint, head, self._signer), checkpoint.seq if checkpoint else 0

    async def _read(
        self,
        principal: Principal,
        query: ChainQuery,
        work: Callable[[Connection, list[str], _Position | None], Awaitable[T]],
    ) -> T:
        """Read chains from a position on, those of one tenant one after another."""
        position = self._unpack(query.after)
        chosen = query.tenant if position is None else position.tenant

        async def read(conn: Connection) -> T:
            tenants = await self._tenants(conn) if _sees_all(principal) else [principal.tenant]
            if chosen is not None and chosen not in tenants:
                raise errors.NotFound("no such tenant")
            if query.tenant is not None:
                tenants = [tenant for tenant in tenants if tenant == query.tenant]
            elif position is not None:
                tenants = [tenant for tenant in tenants if tenant >= position.tenant]
            return await work(conn, tenants, position)

        async with self._walks.of(principal, _WAIT_S, _BUSY):
            return await self._database.run(read, read_only=True, timeout_s=_READ_S)

    def _pack(self, position: _Position) -> str:
        purpose, digest = f"position {position.pruned}", bytes.fromhex(position.hash)
        signed = self._signer.sign(purpose, position.tenant, position.seq, digest, self._now())
        return urlsafe_b64encode(msgspec.json.encode(_SignedPosition(position, signed))).decode()

    def _unpack(self, text: str) -> _Position | None:
        """Raises ValidationFailed for what this server has not given."""
        if not text:
            return None
        try:
            found = msgspec.json.decode(urlsafe_b64decode(text.encode()), type=_SignedPosition)
        except (ValueError, msgspec.MsgspecError) as e:
            raise _invalid("after", "is not the `next` of an answer") from e
        position, signed = found.position, found.signed
        said = (f"position {position.pruned}", position.tenant, position.seq, position.hash)
        if (signed.purpose, signed.tenant, signed.seq, signed.hash) != said or not self._signer.is_ours(signed):
            raise _invalid("after", "is not the `next` of an answer")
        return position

    async def _tenants(self, conn: Connection) -> list[str]:
        """Those that have a chain, or had one."""
        return sorted({*await repository.chains(conn), *self._heads.tenants})

    # -- retention ---------------------------------------------------------------------------------------------------

    async def prune(self, before: datetime) -> int:
        """Delete the entries that are older, and leave signed checkpoints; returns how many. A chain that is not as it
        was written is kept, and logged. Raises DatabaseUnavailable."""
        tenants = await self._database.run(repository.chains, read_only=True)
        return sum([await self._prune(tenant, before) for tenant in tenants])

    async def _prune(self, tenant: str, before: datetime) -> int:
        head = self._heads.head(tenant)

        async def check(conn: Connection) -> tuple[repository.Tail | None, Walk]:
            last = await repository.last_before(conn, tenant, before)
            walk, _ = await self._start(conn, tenant, head, None)
            if last is None or walk.bad_seq is not None:
                return None, walk
            async for rows in repository.stream(conn, tenant, walk.seq):
                old = [row for row in rows if row[1] <= last.seq]
                if not await asyncio.to_thread(walk.follow, old) or len(old) < len(rows):
                    break
            return last, walk

        last, walk = await self._database.run(check, read_only=True, timeout_s=600)
        if walk.bad_seq is not None:
            _log.error("audit_log_not_pruned", tenant=tenant, entry=walk.bad_seq, reason=walk.reason)
            return 0
        if last is None:
            return 0
        signed = self._signer.sign("checkpoint", tenant, walk.seq, walk.hash, self._now())
        return await self._database.run(lambda conn: repository.prune(conn, signed), timeout_s=120)


def _sees_all(principal: Principal) -> bool:
    """Whether the principal may read every chain: one who sees what belongs to no tenant."""
    return may_see(principal, None)


def _line(record: str, values: dict[str, object]) -> bytes:
    return msgspec.json.encode({"record": record, **values}) + b"\n"


def _terms(q: str, now: datetime) -> list[Term]:
    try:
        return parse_filter(q, audit_fields(lambda: now))
    except FilterError as e:
        raise _invalid("q", str(e)) from e


def _invalid(field: str, message: str) -> errors.ValidationFailed:
    return errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])
