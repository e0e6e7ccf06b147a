"""Authorization of a request, and sign-ins. The audit log: verifying a chain, beside reading the same rows without hashing them; and a filtered page of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from novacron_core.api.audit import AuditQuery, ChainQuery
from novacron_core.api.vms import VM, State
from novacron_core.rules.visibility import may_see_vm, why_not_permitted
from novacron_core.values.roles import Permission, token_scope
from novacron_server.audit import repository
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.migrate import migrate
from novacron_server.database.transactions import Connection, Database
from tests.benchmarks import sign_ins
from tests.benchmarks.figure import Figure, median
from tests.support.audit import ADMINISTRATOR, AuditUnderTest, entry

ENTRIES = 200_000
BATCH = 2000
REQUESTS = 20_000
VM_OF_CI = VM(id="1", name="ci-01", host="h", state=State.RUNNING, vcpus=1, memory_bytes=1, tags={"ci": "yes"})


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="novacron-bench-") as folder:
        Path(folder).chmod(0o711)
        yield from asyncio.run(_measure(Path(folder)))
    yield from _authorization()
    yield from sign_ins.measure()


def _authorization() -> Iterator[Figure]:
    """What a request costs beyond the check of its token: its permission, and whether its VM may be seen."""
    limited = replace(ADMINISTRATOR, scope=token_scope(None, "tag:ci"), vm_filter="tag:ci")
    for name, principal in (("a session", ADMINISTRATOR), ("a token with a filter", limited)):
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(REQUESTS):
                assert why_not_permitted(principal, Permission.VM_READ) is None and may_see_vm(principal, VM_OF_CI)
            taken.append((time.perf_counter() - began) / REQUESTS)
        yield Figure(f"authorization of a request of {name}", median(taken) * 1e6, "µs", 60, absolute=True)


async def _measure(folder: Path) -> list[Figure]:
    async with EmbeddedPostgres(folder / "pg", folder / "r", durable=False) as postgres:
        await migrate(postgres.owner_url, postgres.app_url)
        database = Database(postgres.app_url, kind="embedded", budget_s=60)
        log = AuditUnderTest(database, folder)
        for first in range(0, ENTRIES, BATCH):
            await log.write(*(entry(f"vm-{n % 500}", detail=f"operation {n}") for n in range(first, first + BATCH)))
        reading = median([await _read(database) for _ in range(3)])
        verifying = median([await _verify(log) for _ in range(3)])
        searching = median([await _search(log) for _ in range(5)])
        await database.close()
    return [
        Figure(
            f"entries of the audit log verified, of {ENTRIES:,}",
            ENTRIES / verifying,
            "entries/s",
            50_000,
            ENTRIES / reading,
            "only read",
            absolute=True,
            at_least=True,
        ),
        Figure(f"who stopped a VM, of {ENTRIES:,} entries", searching * 1000, "ms", 500, absolute=True),
    ]


async def _read(database: Database) -> float:
    began = time.perf_counter()

    async def read(conn: Connection) -> int:
        return sum([len(rows) async for rows in repository.stream(conn, "default", 0)])

    assert await database.run(read, read_only=True) == ENTRIES
    return time.perf_counter() - began


async def _verify(log: AuditUnderTest) -> float:
    """With all its parts, as the command does it."""
    began, checked, after = time.perf_counter(), 0, ""
    while True:
        answer = await log.audit.verify(ADMINISTRATOR, ChainQuery(tenant="default", after=after))
        assert not any(check.reason for check in answer.chains)
        checked += sum(check.entries for check in answer.chains)
        if not (after := answer.next):
            break
    assert checked == ENTRIES
    return time.perf_counter() - began


async def _search(log: AuditUnderTest) -> float:
    began = time.perf_counter()
    page = await log.audit.page(ADMINISTRATOR, AuditQuery(q="action:stop target:vm-7 since:22:00"))
    assert page.total
    return time.perf_counter() - began
