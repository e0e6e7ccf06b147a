"""A whole server in this process: real PostgreSQL, libvirt's test driver or a libvirtd, real HTTP on loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import psutil

from novacron_core.api import access, operations, vms
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.runtime.routes import create_app
from novacron_server.runtime.server import create_http_server
from novacron_server.runtime.settings import Settings
from novacron_server.runtime.wiring import Parts, open_parts
from tests.support.accounts import PASSWORD
from tests.support.fair_clock import fair_now
from tests.support.waiting import until


@dataclass
class LiveServer:
    """A running server, its parts, and its first administrator's client."""

    url: str
    parts: Parts
    admin: Client
    data_dir: Path
    owner_url: str = field(default="", kw_only=True)
    """The database, as its owner; not known to every test."""

    @property
    def stream(self) -> object:
        """The server side of the event stream, for tests that shorten its intervals."""
        return self.parts.stream

    async def member(self, username: str, role: Role) -> Client:
        """Create another account and sign it in."""
        body = access.Register(username=username, password=PASSWORD, role=role)
        await self.admin.call(access.REGISTER, body=body)
        client = Client(self.url)
        await client.sign_in(username, PASSWORD)
        return client

    async def vm(self, name: str) -> vms.VM:
        page = await self.admin.call(vms.LIST, query=vms.VMQuery(page_size=1000))
        return next(vm for vm in page.items if vm.name == name)

    async def wait_until_no_rows(self) -> None:
        """Wait until the inventory state has no rows of VMs and volumes."""
        state = self.parts.inventory.state

        async def empty() -> bool | None:
            return True if not state.rows and not state.storage.volume_rows else None

        await until(empty)

    async def ended(self, operation: Operation) -> Operation:
        """The operation once it has ended."""

        async def done() -> Operation | None:
            now = await self.admin.call(operations.GET, operation_id=operation.id)
            return now if now.state.ended else None

        return await until(done)


@asynccontextmanager
async def running(
    settings: Settings, owner_url: str, app_url: str, hypervisors: list[str], *, embedded: bool = True
) -> AsyncIterator[tuple[str, Parts]]:
    """Serve on a free port until the end of the block."""
    async with open_parts(settings, owner_url, app_url, embedded=embedded, hypervisors=hypervisors) as parts:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as uvloop does: 45 ms less a response
        server = create_http_server(settings, create_app(parts))
        task = asyncio.create_task(server.serve(sockets=[listening]))

        async def started() -> bool | None:
            return True if server.started else None

        await until(started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", parts
        finally:
            server.should_exit = True
            await task


async def all_hosts_read(parts: Parts) -> bool | None:
    state = parts.inventory.state
    up = all(view.status is HostStatus.UP for view in state.views.values())
    return True if up and any(True for _ in state.vms()) else None


class ServerWithDatabase(LiveServer):
    """A server together with the supervisor of its database."""

    postgres: EmbeddedPostgres

    def hang_database(self) -> None:
        """Suspend every process of PostgreSQL; its sockets stay open."""
        for process in self._database_processes():
            process.send_signal(signal.SIGSTOP)

    def wake_database(self) -> None:
        for process in self._database_processes():
            process.send_signal(signal.SIGCONT)

    def kill_database(self) -> None:
        assert self.postgres.pid is not None
        os.kill(self.postgres.pid, signal.SIGKILL)

    def _database_processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.postgres.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    async def wait_for_database(self, *, down: bool, timeout_s: float = 15) -> float:
        """Wait until the server has noticed that the database is down (or up again). Returns the seconds that took."""
        began = fair_now()

        async def known() -> bool | None:
            return True if (self.parts.hub.database_away_since is not None) is down else None

        await until(known, timeout_s)
        return fair_now() - began


@asynccontextmanager
async def open_server(data_dir: Path, hypervisors: list[str], **more: Any) -> AsyncIterator[ServerWithDatabase]:
    """Serve until the end of the block, with an administrator signed in and every host up. `more` are settings."""
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres:
        settings = Settings(
            data_dir=data_dir, sign_ins_per_minute=1000, requests_per_minute=10**6, sockets_per_minute=10**6, **more
        )
        async with (
            running(settings, postgres.owner_url, postgres.app_url, hypervisors) as (url, parts),
            Client(url) as admin,
        ):
            token = (data_dir / "setup-token").read_text().strip()
            await admin.call(
                access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token)
            )
            await admin.sign_in("ann", PASSWORD)
            server = ServerWithDatabase(url, parts, admin, data_dir)
            server.postgres = postgres
            await until(lambda: _up(server))
            try:
                yield server
            finally:
                with suppress(psutil.NoSuchProcess):
                    server.wake_database()


async def _up(server: ServerWithDatabase) -> bool | None:
    views = server.parts.inventory.state.views.values()
    return True if views and all(view.status is HostStatus.UP for view in views) else None


def simulated_host(server: LiveServer) -> libvirt.virConnect:
    """The connection to the server's simulated host, for changes outside NovaCron.

    Such a host exists only in one connection: the server's.
    """
    first = next(iter(server.parts.inventory._syncs.values())).host._supervisor.require().first
    assert first is not None
    return first.connection
