"""A page of 50 events of a million, with and without a filter, beside reading 50 rows by their key from the same table."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from novacron_core.api.stored_events import EventQuery
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.migrate import migrate
from novacron_server.database.transactions import Database
from novacron_server.events.service import Events
from novacron_server.inventory.state import InventoryState
from novacron_server.outbox.repository import read_after
from tests.benchmarks.figure import Figure, median

EVENTS = 1_000_000
ROUNDS = 15
READER = Principal("u", "ann", Role.ADMINISTRATOR, "default", "s", datetime(2090, 1, 1, tzinfo=UTC))
MEMBER = Principal("u", "bob", Role.OPERATOR, "default", "s", datetime(2090, 1, 1, tzinfo=UTC))
FILL = f"""
INSERT INTO events (seq, id, type, source, target_type, target_id, target_name, tenant, priority, time, note, after)
SELECT n, gen_random_uuid(), CASE WHEN n % 4 = 0 THEN 'vm.stopped' ELSE 'vm.updated' END, 'h-1', 'vm',
    'vm-' || n % 2000, 'web-' || n % 2000, 'default', 'normal', now() - interval '2.5 s' * ({EVENTS} - n), '', 'stopped'
FROM generate_series(1, {EVENTS}) n
"""


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="novacron-bench-") as folder:
        Path(folder).chmod(0o711)
        yield from asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> list[Figure]:
    async with EmbeddedPostgres(folder / "pg", folder / "r", durable=False) as postgres:
        await migrate(postgres.owner_url, postgres.app_url)
        async with await psycopg.AsyncConnection.connect(postgres.owner_url, autocommit=True) as owner:
            await owner.execute(FILL)
            await owner.execute("VACUUM ANALYZE events")
        database = Database(postgres.app_url, kind="embedded")
        events = Events(database, InventoryState())
        floor = await _took(lambda: database.run(lambda c: read_after(c, EVENTS // 2, 50), read_only=True))

        async def figure(name: str, limit: float, reader: Principal = READER, **query: object) -> Figure:
            asked = EventQuery(**query)  # type: ignore[arg-type]
            took = await _took(lambda: events.page(reader, asked))
            return Figure(f"50 of {EVENTS:,} events, {name}", took * 1000, "ms", limit, floor * 1000, "50 rows by key")

        figures = [
            await figure("the newest worth a line", 30, q="is:notable"),
            await figure("the same of a member", 150, MEMBER, q="is:notable"),
            await figure("from the middle", 30, q="is:notable", before=EVENTS // 2),
            await figure("of one VM", 15, q='is:notable id:"vm-7"'),
            await figure("with words that match nothing", 600, q="is:notable nothing-like-it"),
        ]
        await database.close()
    return figures


async def _took(work: Callable[[], Awaitable[object]]) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    return median(took)
