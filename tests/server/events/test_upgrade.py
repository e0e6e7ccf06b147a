"""Events that an older version has stored are listed after an upgrade, with as much as they tell."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.problem import Problem
from novacron_core.api.stored_events import EventQuery
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.migrate import migrate
from novacron_server.database.transactions import Database
from novacron_server.events.service import Events
from novacron_server.inventory.state import InventoryState

BEFORE = """
DROP INDEX events_target_idx, events_operation_target_idx, events_notable_idx;
ALTER TABLE events DROP COLUMN before, DROP COLUMN after, DROP COLUMN reason, DROP COLUMN actor;
UPDATE alembic_version SET version_num = '0009';
"""
INSERT = """
INSERT INTO events (seq, id, type, source, target_type, target_id, target_name, priority, time, "row", note)
VALUES (%s, gen_random_uuid(), %s, 'h-1', %s, 'x-1', %s, 'normal', now(), %s, %s)
"""
READER = Principal("u", "ann", Role.ADMINISTRATOR, "default", "s", datetime(2090, 1, 1, tzinfo=UTC))


async def test_events_of_an_older_version_are_listed(owner_url: str, database_url: str) -> None:
    failed = Operation(
        id="11111111-0000-0000-0000-000000000001",
        kind="vm.start",
        target=Target(type="vm", id="v-1", name="web-01"),
        state=OperationState.FAILED,
        created_at=datetime.now(UTC),
        actor="bob",
        problem=Problem(title="x", status=500, code="internal", detail="no room"),
    )
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute(BEFORE)
        row = Jsonb(msgspec.to_builtins(failed))
        await owner.execute(INSERT, (1, "vm.crashed", "vm", "web-01", None, "panic"))
        await owner.execute(INSERT, (2, "operation.failed", "operation", "vm.start", row, "no room"))
        await owner.execute(INSERT, (3, "operation.failed", "operation", "vm.stop", Jsonb([1]), ""))
    await migrate(owner_url, database_url)
    database = Database(database_url, kind="embedded")
    events = Events(database, InventoryState())
    damaged, ended, crash = (await events.page(READER, EventQuery())).items
    assert (crash.before, crash.after, crash.reason, crash.note) == (None, None, "", "panic")
    assert (ended.before, ended.after, ended.reason, ended.actor) == (None, "failed", "no room", "bob")
    assert ended.operation is not None
    assert ended.operation.target.name == "web-01"
    assert (damaged.type, damaged.target.name, damaged.operation) == ("operation.failed", "vm.stop", None)
    found = await events.page(READER, EventQuery(q="by:bob state:failed target:web-01"))
    assert [event.seq for event in found.items] == [2]
    await database.close()
