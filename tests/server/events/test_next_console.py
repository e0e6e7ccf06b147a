"""What happened while no console was open is in the activity of the next one: a real server, the real console."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import libvirt

from novacron_core.api import access, stored_events, vms
from novacron_core.api.stored_events import EventQuery
from novacron_core.client import Client
from novacron_server.runtime.settings import Settings
from novacron_tui.app import Console
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.servers.server_ref import ServerRef, at
from tests.support.accounts import PASSWORD
from tests.support.console.looking import loaded, text
from tests.support.console.looking import until as seen
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.server import LiveServer, all_hosts_read, running
from tests.support.waiting import until


async def test_crash_of_the_night_is_in_the_activity_of_the_morning(
    server: LiveServer, libvirt_connection: libvirt.virConnect, tmp_path: Path
) -> None:
    vm = await server.vm("test")
    await server.ended(await server.admin.call(vms.PAUSE, vm_id=vm.id))
    await server.ended(await server.admin.call(vms.RESUME, vm_id=vm.id))
    domain = libvirt_connection.lookupByName("test")
    await asyncio.to_thread(domain.coreDump, str(tmp_path / "dump"), libvirt.VIR_DUMP_CRASH)

    async def stored() -> bool | None:
        query = EventQuery(q="type:vm.crashed target:test")
        return True if (await server.admin.call(stored_events.LIST, query=query)).total else None

    await until(stored)
    app = Console(at(ServerRef(server.url)), token=server.admin.credentials.token)
    async with app.run_test(size=(140, 40)) as pilot:
        await seen(pilot, lambda: loaded(app))
        await pilot.press("7")
        await seen(pilot, lambda: isinstance(app.screen, ActivityScreen) and "crashed" in text(app))
        screen = app.screen
        assert isinstance(screen, ActivityScreen)
        await seen(pilot, lambda: "loading older" not in text(app))
        told = [row.what for row in screen.table.rows if row.target == "test"]
        assert told == ["crashed", "resumed", "paused"], "each once: the operation tells its event"
        await asyncio.to_thread(domain.create)
        await seen(pilot, lambda: next(row.what for row in screen.table.rows if row.target == "test") == "started")


async def test_a_restart_of_the_server_is_no_lost_host(
    owner_url: str, database_url: str, data_dir: Path, uri: str
) -> None:
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=LONG_BUDGET_S)
    began = datetime.now(UTC)
    for number in range(2):
        async with running(settings, owner_url, database_url, [uri]) as (url, parts), Client(url) as admin:
            await until(lambda parts=parts: all_hosts_read(parts))  # type: ignore[misc]
            await parts.inventory.publisher.flush()
            if number == 0:
                token = (data_dir / "setup-token").read_text().strip()
                body = access.Register(username="ann", password=PASSWORD, setup_token=token)
                await admin.call(access.REGISTER, body=body)
            await admin.sign_in("ann", PASSWORD)
            listed = await admin.call(
                stored_events.LIST, query=EventQuery(q="is:notable -type:access.*,pool.*", from_=began)
            )
            assert {event.type for event in listed.items} == {"system.started", "host.up"}
