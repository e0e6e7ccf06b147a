"""The chains of the audit log: contiguous, one per tenant, whole under parallel writers, and only for insertion."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
import pytest

from novacron_core.api.audit import AuditQuery
from novacron_server.database.transactions import Database
from tests.support.audit import ADMINISTRATOR, AuditUnderTest, entry, execute, owner_of


@pytest.fixture
def log(database: Database, data_dir: Path) -> AuditUnderTest:
    return AuditUnderTest(database, data_dir)


async def test_parallel_changes_of_two_tenants_keep_both_chains_whole(log: AuditUnderTest) -> None:
    await asyncio.gather(
        *(log.write(entry(f"a-{n}", "blue"), entry(f"b-{n}", "red"), entry(f"c-{n}", "blue")) for n in range(10)),
        *(log.write(entry(f"d-{n}", "red"), entry(f"e-{n}", "blue")) for n in range(10)),
    )
    await log.heads.advance()
    checks = {check.tenant: check for check in (await log.verify()).chains}
    assert (checks["blue"].entries, checks["blue"].first, checks["blue"].last) == (30, 1, 30)
    assert (checks["red"].entries, checks["red"].first, checks["red"].last) == (20, 1, 20)
    assert await log.reasons() == {}
    head = log.heads.head("blue")
    assert head is not None
    assert head.seq == 30


async def test_an_owner_reads_the_chain_of_his_tenant_and_an_administrator_all(log: AuditUnderTest) -> None:
    await log.write(entry("one", "blue"), entry("two", "red"), entry("three", ""))
    assert await log.found(principal=owner_of("blue")) == ["bob vm.stop one accepted"]
    assert await log.found("tenant:red", owner_of("blue")) == []
    assert len(await log.found()) == 3
    assert [check.tenant for check in (await log.verify(owner_of("blue"))).chains] == ["blue"]
    assert {check.tenant for check in (await log.verify()).chains} >= {"", "blue", "red", "default"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'eve'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "DELETE FROM audit_checkpoints",
        "INSERT INTO audit_checkpoints VALUES ('default', 1, '', now(), '', '')",
        "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
        "SELECT prune_audit('default', 1, (SELECT hash FROM audit_entries WHERE seq = 1), now(), '', '')",
    ],
)
async def test_the_application_role_can_neither_change_nor_delete_entries(
    log: AuditUnderTest, database_url: str, statement: str
) -> None:
    await log.write(entry())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await execute(database_url, statement)
    assert await log.found() == ["bob vm.stop db-01 accepted"]


async def test_text_from_outside_is_cut_and_cleaned(log: AuditUnderTest) -> None:
    name = "\x1b]0;x\x07\0\u202e\ud800" + "n" * 1000
    await log.write(entry(name, detail="x" * 5000))
    found = (await log.audit.page(ADMINISTRATOR, AuditQuery())).items[0]
    assert found.target.name == "\ufffd]0;x\ufffd\ufffd\ufffd\ufffd" + "n" * 119
    assert (len(found.target.id), len(found.detail)) == (128, 500)
    await log.heads.advance()
    assert await log.reasons() == {}
