"""The server and its database are killed while clients create VMs: each acknowledged VM exists once (G1, G2, G3).

NOVACRON_KILLS and NOVACRON_DATABASE_KILLS set how often: 3 and 1 by default, 20 and 5 for a long run.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import libvirt
import pytest

from novacron_core.local_server import read_running_server
from tests.support.accounts import administrator
from tests.support.creating_clients import CreatingClients
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.processes import ServerProcess
from tests.support.waiting import until

KILLS = int(os.environ.get("NOVACRON_KILLS", "3"))
DATABASE_KILLS = int(os.environ.get("NOVACRON_DATABASE_KILLS", "1"))


@pytest.mark.timeout(60 + 15 * KILLS)
async def test_every_acknowledged_vm_exists_once_after_kills(
    data_dir: Path, image: str, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    daemon = libvirtd_named("kills")
    server = ServerProcess(data_dir, daemon.uri)
    await server.start()
    try:
        url = read_running_server(data_dir).url  # type: ignore[union-attr]
        token = await asyncio.to_thread(lambda: asyncio.run(administrator(url, data_dir)))
        clients = CreatingClients(data_dir, token)
        creating = asyncio.create_task(clients.run(4))
        for number in range(KILLS + DATABASE_KILLS):
            enough = len(clients.accepted) + 8
            await until(partial(_at_least, clients, enough, creating), 30)
            if number < KILLS:
                server.kill()
                await server.start()
            else:
                server.kill_database()
        enough = len(clients.accepted) + 8
        await until(lambda: _at_least(clients, enough, creating), 30)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        url = read_running_server(data_dir).url  # type: ignore[union-attr]
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10) as http:
            await until(lambda: _all_ended(http), 30)
            ended = (await http.get("/api/operations?page_size=1000")).json()["items"]
        states = Counter(op["state"] for op in ended)
        reasons = Counter(op["problem"]["detail"] for op in ended if op["state"] == "failed")
        there = Counter(_domains(daemon.uri))
        assert not [name for name in clients.accepted if there[name] != 1], reasons
        assert max(there.values()) == 1
        assert set(states) <= {"succeeded", "interrupted"}, reasons
        print(
            f"{KILLS} kills, {DATABASE_KILLS} of PostgreSQL: {len(clients.accepted)} acknowledged,"
            f" operations {states} {reasons}"
        )
    finally:
        server.stop()
        print((data_dir / "server.log").read_text()[-8000:])


async def _at_least(clients: CreatingClients, count: int, creating: asyncio.Task[None]) -> bool | None:
    if creating.done():
        creating.result()
    return True if len(clients.accepted) >= count else None


async def _all_ended(http: httpx.AsyncClient) -> bool | None:
    """Wait until no operation is running."""
    answer = await http.get("/api/operations?q=running")
    return True if answer.status_code == 200 and answer.json()["total"] == 0 else None


def _domains(uri: str) -> list[str]:
    connection = libvirt.open(uri)
    names = [domain.name() for domain in connection.listAllDomains()]
    connection.close()
    return names
