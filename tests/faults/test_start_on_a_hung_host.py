"""A server that starts while a host hangs shows what an earlier server knew of it, as unknown."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import access, vms
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, State
from novacron_core.client import Client
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.runtime.settings import Settings
from tests.support.accounts import PASSWORD
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.server import ServerWithDatabase, running
from tests.support.waiting import until


async def _vms(admin: Client) -> dict[str, VM]:
    return {vm.name: vm for vm in (await admin.call(vms.LIST)).items}


@pytest.mark.usefixtures("image")
async def test_vms_of_a_hung_host_are_listed_as_unknown(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    daemon = libvirtd_named("hangs")
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000)
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres:
        urls = (postgres.owner_url, postgres.app_url, [daemon.uri])
        async with running(settings, *urls) as (url, parts), Client(url) as admin:
            token = (data_dir / "setup-token").read_text().strip()
            await admin.call(
                access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token)
            )
            await admin.sign_in("ann", PASSWORD)
            server = ServerWithDatabase(url, parts, admin, data_dir)
            for name in ("stays", "goes"):
                body = vms.VMCreate(name=name, image="empty", memory_bytes=32 << 20, start=False)
                await server.ended(await until(partial(_created, admin, body), 60))
            before = await _vms(admin)
        daemon.signal(signal.SIGSTOP)
        try:
            async with running(settings, *urls) as (url, _parts), Client(url) as admin:
                await admin.sign_in("ann", PASSWORD)
                shown = await _vms(admin)
                assert {name: vm.state for name, vm in shown.items()} == {"stays": State.UNKNOWN, "goes": State.UNKNOWN}
                stays = shown["stays"]
                assert (stays.id, stays.memory_bytes, stays.owner) == (before["stays"].id, 32 << 20, "ann")
                assert stays.seen_at is not None
                assert stays.last_state is State.STOPPED
                assert stays.reason
        finally:
            daemon.signal(signal.SIGCONT)
        _remove(daemon, "goes")
        async with running(settings, *urls) as (url, _parts), Client(url) as admin:
            await admin.sign_in("ann", PASSWORD)

            async def read() -> bool | None:
                states = {name: vm.state for name, vm in (await _vms(admin)).items()}
                return True if states == {"stays": State.STOPPED} else None

            await until(read, 60)


async def _created(admin: Client, body: vms.VMCreate) -> Operation | None:
    """The operation, once the host is up and has been read."""
    try:
        return await admin.call(vms.CREATE, body=body)
    except (errors.HostUnavailable, errors.Conflict):
        return None


def _remove(daemon: PrivateLibvirtd, name: str) -> None:
    connection = libvirt.open(daemon.uri)
    connection.lookupByName(name).undefine()
    connection.close()
