"""When a guest was started is kept through restarts of the server, and never shown of an earlier run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libvirt
import pytest

from novacron_core.api.operations import OperationState
from novacron_core.api.vms import State
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.real_guests import created, in_states, served
from tests.support.server import ServerWithDatabase
from tests.support.waiting import until

pytestmark = pytest.mark.qemu


def run_number(daemon: PrivateLibvirtd, name: str, *, start: bool = False) -> int:
    connection = libvirt.open(daemon.uri)
    try:
        domain = connection.lookupByName(name)
        if start:
            domain.create()
        return int(connection.lookupByName(name).ID())
    finally:
        connection.close()


async def _stored(server: ServerWithDatabase, count: int) -> bool | None:
    query = "SELECT count(*) FROM vms WHERE booted_at IS NOT NULL"
    found = await server.parts.database.run(lambda c: c.exec_driver_sql(query))
    return True if found.scalar_one() == count else None


@pytest.mark.usefixtures("image")
async def test_boot_time_is_kept_for_the_same_run_alone(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    """While no server runs, libvirtd is killed, and a guest is killed and started again: it has the same number."""
    daemon = libvirtd_named("boots")
    running = dict.fromkeys(("web", "db"), State.RUNNING)
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres:
        async with served(postgres, data_dir, daemon.uri) as server:
            for name in running:
                ended = await server.ended(await until(partial(created, server, name), 60))
                assert ended.state is OperationState.SUCCEEDED, ended.problem
            first = {name: vm.booted_at for name, vm in (await in_states(server, **running)).items()}
            assert None not in first.values()
            await until(lambda: _stored(server, 2))
        number = run_number(daemon, "db")
        daemon.kill()
        os.kill(int((daemon.folder / "run/qemu/db.pid").read_text()), signal.SIGKILL)
        (daemon.folder / "run/qemu/db.xml").unlink()  # as a reboot does, libvirt forgets the numbers that it has used
        daemon.start()
        assert run_number(daemon, "db", start=True) == number
        async with served(postgres, data_dir, daemon.uri) as server:

            async def restored() -> bool | None:
                return (await server.vm("web")).booted_at == first["web"] or None

            await in_states(server, **running)
            await until(restored)
            await until(lambda: _stored(server, 1))
            assert (await server.vm("db")).booted_at is None, "nobody saw when it was started"
