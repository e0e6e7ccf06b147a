"""The audit log of a test: entries, its parts on a fresh database, and changes as the database's owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from novacron_core.api.audit import AuditCheck, AuditQuery, AuditResult, ChainQuery
from novacron_core.api.operations import Target
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.audit import repository
from novacron_server.audit.chain import Signer
from novacron_server.audit.heads import Heads
from novacron_server.audit.records import Actor, AuditDraft
from novacron_server.audit.service import Audit
from novacron_server.database.transactions import Database

ADMINISTRATOR = Principal("a-1", "ann", Role.ADMINISTRATOR, "default", "s", datetime(2090, 1, 1, tzinfo=UTC))


def owner_of(tenant: str) -> Principal:
    return Principal("o-1", "olaf", Role.OWNER, tenant, "s", datetime(2090, 1, 1, tzinfo=UTC))


def entry(name: str = "db-01", tenant: str = "default", **more: Any) -> AuditDraft:
    fields: dict[str, Any] = {
        "action": "vm.stop",
        "result": AuditResult.ACCEPTED,
        "actor": Actor("u-1", "bob", "operator", "192.0.2.7", "s-1", "", "r-1"),
        **more,
    }
    return AuditDraft(tenant=tenant, target=Target(type="vm", id=f"id-{name}", name=name), **fields)


@dataclass
class AuditUnderTest:
    """The audit log of one server. `warnings` are the (tenant, sentence) pairs that it gave."""

    database: Database
    folder: Path
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.signer = Signer(self.folder / "audit-key")
        self.heads = Heads(self.database, self.folder / "audit-heads.json", self.signer, self._warn)
        self.audit = Audit(self.database, self.heads, self.signer)

    async def _warn(self, tenant: str, problem: str) -> None:
        self.warnings.append((tenant, problem))

    def restarted(self) -> AuditUnderTest:
        """The same on a server that was started anew."""
        return AuditUnderTest(self.database, self.folder)

    async def write(self, *drafts: AuditDraft) -> None:
        await self.database.run(lambda conn: repository.write(conn, drafts))

    async def verify(self, principal: Principal = ADMINISTRATOR) -> AuditCheck:
        return await self.audit.verify(principal, ChainQuery())

    async def reasons(self) -> dict[str, str]:
        """Why chains are bad, by tenant."""
        return {check.tenant: check.reason for check in (await self.verify()).chains if check.reason}

    async def found(self, q: str = "", principal: Principal = ADMINISTRATOR) -> list[str]:
        """What a filter finds, as `actor action target result` lines."""
        page = await self.audit.page(principal, AuditQuery(q=q, page_size=1000))
        return [f"{e.actor} {e.action} {e.target.name or e.target.id} {e.result}" for e in page.items]


async def execute(url: str, sql: str, *values: object) -> None:
    """Change the database as the role of the URL."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        await conn.execute(sql, values or None)
