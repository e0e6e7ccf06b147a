"""Real guests on private libvirtds, and servers that come and go while they run."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from novacron_core import errors
from novacron_core.api import access, vms
from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, State, VMCreate
from novacron_core.client import Client
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.runtime.settings import Settings
from tests.support.accounts import PASSWORD
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.server import ServerWithDatabase, running
from tests.support.waiting import until


@asynccontextmanager
async def served(postgres: EmbeddedPostgres, data_dir: Path, uri: str) -> AsyncIterator[ServerWithDatabase]:
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=LONG_BUDGET_S)
    async with running(settings, postgres.owner_url, postgres.app_url, [uri]) as (url, parts), Client(url) as admin:
        token = data_dir / "setup-token"
        if token.exists():
            body = access.Register(username="ann", password=PASSWORD, setup_token=token.read_text().strip())
            await admin.call(access.REGISTER, body=body)
        await admin.sign_in("ann", PASSWORD)
        yield ServerWithDatabase(url, parts, admin, data_dir)


async def created(server: ServerWithDatabase, name: str) -> Operation | None:
    try:
        return await server.admin.call(vms.CREATE, body=VMCreate(name=name, image="empty", memory_bytes=32 << 20))
    except (errors.HostUnavailable, errors.Conflict):
        return None


async def in_states(server: ServerWithDatabase, **wanted: State) -> dict[str, VM]:
    """The VMs by name, once these have these states."""

    async def reached() -> dict[str, VM] | None:
        found = {vm.name: vm for vm in (await server.admin.call(vms.LIST)).items}
        states = {name: found[name].state for name in wanted if name in found}
        return found if states == wanted else None

    return await until(reached, 60)


def die(daemon: PrivateLibvirtd, name: str) -> None:
    os.kill(int((daemon.folder / f"run/qemu/{name}.pid").read_text()), signal.SIGSEGV)
