"""A whole server in this process: real PostgreSQL, libvirt's test driver, real HTTP on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import libvirt
import pytest
import pytest_asyncio
import uvicorn

from novacron_core.api import access, operations, vms
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.runtime.routes import create_app
from novacron_server.runtime.server import uvicorn_config
from novacron_server.runtime.settings import Settings
from novacron_server.runtime.wiring import Parts, open_parts
from tests.conftest import PATIENT_S
from tests.fair_clock import fair_now

T = TypeVar("T")
PASSWORD = "quiet harbour seventeen lanterns"


@dataclass
class Spine:
    """A running server, its parts, and its first administrator's client."""

    url: str
    parts: Parts
    admin: Client
    data_dir: Path

    @property
    def stream(self) -> object:
        """The event stream's server side, for tests that shorten its times."""
        return self.parts.stream

    async def member(self, username: str, role: Role) -> Client:
        """A second account, signed in."""
        body = access.Register(username=username, password=PASSWORD, role=role)
        await self.admin.call(access.REGISTER, body=body)
        client = Client(self.url)
        await client.sign_in(username, PASSWORD)
        return client

    async def vm(self, name: str) -> vms.VM:
        page = await self.admin.call(vms.LIST, query=vms.VMQuery(page_size=1000))
        return next(vm for vm in page.items if vm.name == name)

    async def no_rows(self) -> None:
        """Wait until the server's picture knows of no VM or volume of ours."""
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


async def until(look: Callable[[], Awaitable[T | None]], timeout_s: float = 15.0) -> T:
    """What `look` answers once it answers something."""
    deadline = fair_now() + timeout_s
    while fair_now() < deadline:
        if (found := await look()) is not None:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not seen within {timeout_s} s")


@asynccontextmanager
async def running(
    settings: Settings, owner_url: str, app_url: str, hypervisors: list[str], *, embedded: bool = True
) -> AsyncIterator[tuple[str, Parts]]:
    """Serve on a free port until the end of the block."""
    async with open_parts(settings, owner_url, app_url, embedded=embedded, hypervisors=hypervisors) as parts:
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn_config(settings, create_app(parts))
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))

        async def started() -> bool | None:
            return True if server.started else None

        await until(started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", parts
        finally:
            server.should_exit = True
            await task


@pytest_asyncio.fixture
async def spine(owner_url: str, database_url: str, data_dir: Path, uri: str) -> AsyncIterator[Spine]:
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=PATIENT_S)
    async with running(settings, owner_url, database_url, [uri]) as (url, parts), Client(url) as admin:
        token = (data_dir / "setup-token").read_text().strip()
        await admin.call(access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token))
        await admin.sign_in("ann", PASSWORD)
        await until(lambda: _all_read(parts))
        yield Spine(url, parts, admin, data_dir)


async def _all_read(parts: Parts) -> bool | None:
    state = parts.inventory.state
    up = all(view.status is HostStatus.UP for view in state.views.values())
    return True if up and any(True for _ in state.vms()) else None


NODE = """<node><cpu><mhz>3000</mhz><model>x86_64</model><active>16</active></cpu><memory>67108864</memory>
<network><name>default</name><bridge name="virbr0"/><forward/><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
<domain type="test"><name>test</name><memory>1048576</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain></node>"""


@pytest.fixture
def uri(data_dir: Path) -> str:
    """A simulated host of this test's own."""
    node = data_dir / "node.xml"
    node.write_text(NODE)
    return f"test://{node}"


@pytest.fixture
def behind(spine: Spine) -> libvirt.virConnect:
    """What somebody else does to the host behind our back. (Such a host lives in one connection: the server's.)"""
    return next(iter(spine.parts.inventory._syncs.values())).host._supervisor.require().first.connection


@pytest.fixture
def image(data_dir: Path) -> str:
    """A real, empty qcow2 image in the server's images directory."""
    import subprocess

    (data_dir / "images").mkdir(exist_ok=True)
    path = data_dir / "images" / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    return "empty"
