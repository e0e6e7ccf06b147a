"""The heads of the chains, signed and kept outside the database: so a chain that was cut or written anew is found.

Every second the new entries are read and followed from the known heads; a chain that does not continue keeps its head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from novacron_core.errors import DatabaseUnavailable
from novacron_core.rules.audit_chain import SignedHash, Walk
from novacron_server.audit import repository
from novacron_server.audit.chain import Signer, start_of
from novacron_server.database.private_files import read_private, write_private
from novacron_server.database.transactions import Connection, Database

EVERY_S = 1.0
_CATCHING_UP_S = 600.0
_log = structlog.get_logger(__name__)


class Heads:
    """One per server. `file` is in the data directory. `warn` is told of a chain that does not continue, once for each
    reason: its tenant and why."""

    def __init__(
        self, database: Database, file: Path, signer: Signer, warn: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self._database = database
        self._file = file
        self._signer = signer
        self._warn = warn
        self._heads: dict[str, SignedHash] = {}
        self._problems: dict[str, str] = {}
        self._warned: set[tuple[str, str]] = set()
        self._file_problem = self._load()
        self._lock = asyncio.Lock()

    def head(self, tenant: str) -> SignedHash | None:
        """The signed head of a chain; None before its first entry, and when the file cannot be trusted."""
        return self._heads.get(tenant)

    @property
    def tenants(self) -> set[str]:
        """The chains that have a head, also when the database has none of their entries any more."""
        return set(self._heads)

    def problem(self, tenant: str) -> str:
        """Why the head of a chain cannot be trusted, or does not advance; empty when all is well."""
        return self._file_problem or self._problems.get(tenant, "")

    async def run(self) -> None:
        """Advance until cancelled. While the database is down, the heads stay."""
        while True:
            with suppress(DatabaseUnavailable):
                await self.advance()
            await asyncio.sleep(EVERY_S)

    async def close(self) -> None:
        """Advance a last time."""
        with suppress(DatabaseUnavailable):
            await self.advance()

    async def advance(self) -> None:
        """Sign the chains up to their last entries. Raises DatabaseUnavailable."""
        if self._file_problem:
            await self.tell("", self._file_problem)
            return
        async with self._lock:
            changed = await self._database.run(self._behind, read_only=True)
            for tenant in changed:
                await self._advance(tenant)
            if changed:
                text = msgspec.json.encode(self._heads).decode()
                await asyncio.to_thread(write_private, self._file, text)

    async def _behind(self, conn: Connection) -> list[str]:
        """The chains whose last entry is not their head."""
        tails = await repository.tails(conn, {*await repository.chains(conn), *self._heads})
        return [tenant for tenant, tail in tails.items() if not self._is_at(tenant, tail)]

    def _is_at(self, tenant: str, tail: repository.Tail) -> bool:
        if tenant in self._problems:
            return True
        head = self._heads.get(tenant)
        return tail.seq == 0 if head is None else (head.seq, head.digest) == (tail.seq, tail.hash)

    async def _advance(self, tenant: str) -> None:
        head = self._heads.get(tenant)

        async def work(conn: Connection) -> Walk:
            if head is None:
                walk = start_of(await repository.checkpoint(conn, tenant), None, self._signer)
            else:
                walk = Walk(head.seq, head.digest)
            last = await repository.tail(conn, tenant)
            if head is not None and last.seq <= head.seq and (last.seq, last.hash) != (head.seq, head.digest):
                walk.seq = last.seq
                walk.end(head)
                if walk.bad_seq is None:
                    walk.bad_seq, walk.reason = head.seq, "rewritten: the signed head has another hash"
            async for rows in repository.stream(conn, tenant, walk.seq):
                if walk.bad_seq is not None or not await asyncio.to_thread(walk.follow, rows):
                    break
            return walk

        walk = await self._database.run(work, read_only=True, timeout_s=_CATCHING_UP_S)
        if walk.bad_seq is not None:
            self._problems[tenant] = f"entry {walk.bad_seq} is not as it was written ({walk.reason})"
            await self.tell(tenant, self._problems[tenant])
        elif walk.seq:
            self._heads[tenant] = self._signer.sign("head", tenant, walk.seq, walk.hash, datetime.now(UTC))

    async def tell(self, tenant: str, problem: str) -> None:
        """Warn of a chain that was changed, once for each reason. Raises DatabaseUnavailable."""
        if (tenant, problem) not in self._warned:
            _log.error("audit_log_changed", tenant=tenant, reason=problem)
            await self._warn(tenant, problem)
            self._warned.add((tenant, problem))

    def _load(self) -> str:
        """Read the file. Returns why it cannot be trusted, empty when it can; a missing one belongs to no chain yet."""
        try:
            found = msgspec.json.decode(read_private(self._file), type=dict[str, SignedHash])
        except FileNotFoundError:
            return ""
        except msgspec.MsgspecError:
            return (
                f"{self._file.name} is corrupt: restore it from a backup, or delete it to trust the database as it is"
            )
        for tenant, head in found.items():
            if head.tenant != tenant or head.purpose != "head" or not self._signer.is_ours(head):
                return (
                    f"{self._file.name} is not signed by this server's key: restore both from a backup, or delete the "
                    "file to trust the database as it is"
                )
        self._heads = found
        return ""
