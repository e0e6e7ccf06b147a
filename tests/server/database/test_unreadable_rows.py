"""A row that was edited or damaged, so that it cannot be read, does not hide the others."""

from __future__ import annotations

import psycopg
from structlog.testing import capture_logs

from novacron_core.api import operations as api
from novacron_server.operations import repository as operations
from novacron_server.vms import repository as vms
from tests.support.requests import create_vm
from tests.support.server import LiveServer


async def test_rows_beside_an_unreadable_one_are_read(server: LiveServer, image: str, owner_url: str) -> None:
    created = [await create_vm(server, name, start=False) for name in ("web-01", "web-02")]
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("""UPDATE vms SET tags = '{"a": 1}' WHERE name = 'web-01'""")
        await owner.execute("UPDATE operations SET locks = '[1]' WHERE target_name = 'web-01'")
    database = server.parts.database
    with capture_logs() as logs:
        rows = await database.run(vms.all_rows, read_only=True)
        recent = await database.run(lambda c: operations.recent(c, 10), read_only=True)
    assert [row.name for row in rows] == ["web-02"]
    assert [operation.target.id for operation in recent] == [created[1].id]
    unreadable = [line["id"] for line in logs if line["event"] == "a row cannot be read"]
    assert created[0].id in unreadable
    page = await server.admin.call(api.LIST)
    assert created[1].id in [operation.target.id for operation in page.items]
