"""Metrics while the database hangs: still shown, written afterwards, and nothing waits for them."""

from __future__ import annotations

from novacron_core.api import usage, vms
from tests.support.fair_clock import fair_now
from tests.support.server import ServerWithDatabase
from tests.support.waiting import until


async def test_samples_of_an_outage_are_written_afterwards(server: ServerWithDatabase) -> None:
    history = server.parts.metrics.history
    await until(lambda: _true(history.written > 0))
    await server.vm("test")  # a cached session stays valid
    server.hang_database()
    await server.wait_for_database(down=True)
    written = history.written
    await until(lambda: _true(history.waiting.rows >= 4))
    for _ in range(5):
        began = fair_now()
        await server.admin.call(usage.NOW)
        await server.admin.call(vms.LIST)
        assert fair_now() - began < 1.0
    now = await server.admin.call(usage.NOW)
    assert now.fleet.cpu_cores is not None, "current values need no database"
    server.wake_database()
    await server.wait_for_database(down=False)
    await until(lambda: _true(history.waiting.rows < 4 and history.written > written), 30)
    assert history.waiting.lost == 0


async def _true(wanted: bool) -> bool | None:
    return True if wanted else None
