"""A server on a private libvirtd, volumes with known content, and the checks that tests of moves share."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import libvirt
import pytest

from novacron_core.api import pools, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume, VolumeAttach, VolumeCreate, VolumeMove
from novacron_core.client import Client
from novacron_core.values.tiers import TierName
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.scratch import scratch
from tests.support.server import ServerWithDatabase, open_server
from tests.support.waiting import until

MIB = 1 << 20


@dataclass
class StorageServer:
    """A server on a libvirtd, with access to its files."""

    server: ServerWithDatabase
    daemon: PrivateLibvirtd
    libvirt: libvirt.virConnect

    @property
    def admin(self) -> Client:
        return self.server.admin

    async def succeeded(self, operation: Operation) -> Operation:
        ended = await self.ended(operation)
        assert ended.state is OperationState.SUCCEEDED, ended.problem
        return ended

    async def ended(self, operation: Operation) -> Operation:
        return await self.server.ended(operation)

    async def volume(self, name: str) -> Volume:
        page = await self.admin.call(volumes.LIST, query=ListQuery(page_size=1000))
        return next(volume for volume in page.items if volume.name == name)

    async def create_volume(
        self, name: str, *, tier: TierName = "hot", image_format: Literal["qcow2", "raw"] = "qcow2"
    ) -> Volume:
        """Create a volume of 64 MiB with 20 MiB of data, and holes."""
        body = VolumeCreate(name=name, size_bytes=64 * MIB, tier=tier, format=image_format)
        await self.succeeded(await self.admin.call(volumes.CREATE, body=body))
        volume = await self.volume(name)
        noise = ["-c", "write -P 7 1M 10M", "-c", "write -P 9 40M 10M"]
        await run("qemu-io", "-f", image_format, *noise, str(self.path(volume)))
        return volume

    async def vm(self, name: str, *attached: Volume, start: bool = False) -> vms.VM:
        """Create a VM with these volumes as additional disks."""
        body = vms.VMCreate(name=name, image="empty", memory_bytes=32 * MIB, start=False)
        await self.succeeded(await self.admin.call(vms.CREATE, body=body))
        vm = await self.server.vm(name)
        for volume in attached:
            await self.succeeded(
                await self.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=volume.id)
            )
        if start:
            await self.succeeded(await self.admin.call(vms.START, vm_id=vm.id))
        return await self.server.vm(name)

    def path(self, volume: Volume) -> Path:
        return Path(self.libvirt.storagePoolLookupByName(volume.pool).storageVolLookupByName(volume.name).path())

    def files(self) -> set[tuple[str, str]]:
        """The (tier, name) pairs of all files in the managed pools."""
        folder = self.server.data_dir / "pools"
        return {(path.parent.name, path.name) for path in folder.glob("*/*")}

    def disk_paths(self, vm_id: str) -> tuple[set[str], set[str]]:
        """Return (paths of the live disks, paths of the disks in the definition)."""
        domain = self.libvirt.lookupByUUIDString(vm_id)
        live, persistent = domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        return set(re.findall(r"source file='([^']+)'", live)), set(re.findall(r"source file='([^']+)'", persistent))

    async def three_pools(self) -> dict[str, pools.Pool]:
        async def find_pools() -> dict[str, pools.Pool] | None:
            found = {pool.tier: pool for pool in (await self.admin.call(pools.LIST)).items if pool.tier}
            return found if len(found) == 3 else None

        # On a machine's first run libvirtd probes QEMU's capabilities, which alone takes 7 s.
        return await until(find_pools, 60)


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    assert await process.wait() == 0


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@asynccontextmanager
async def open_storage_server() -> AsyncIterator[StorageServer]:
    """Run a server on its own libvirtd until the end of the block."""
    with scratch() as folder:
        (folder / "lv").mkdir()
        (folder / "data" / "images").mkdir(mode=0o711, parents=True)
        await run("qemu-img", "create", "-q", "-f", "qcow2", str(folder / "data/images/empty.qcow2"), "8M")
        daemon = PrivateLibvirtd(folder / "lv", f"storage{uuid4().hex[:4]}")
        daemon.start()
        connection = libvirt.open(daemon.uri)
        try:
            async with open_server(folder / "data", [daemon.uri], database_budget_s=LONG_BUDGET_S) as server:
                made = StorageServer(server, daemon, connection)
                await made.three_pools()
                yield made
                for domain in made.libvirt.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                    domain.destroy()
        finally:
            connection.close()
            daemon.stop()


STOPPED = ["planned", "made", "compared", "renamed", "named", "switched", "told", "dropped"]


RUNNING = ["planned", "made", "mirroring", "mirrored", "pivoted", "switched", "told", "dropped"]


async def move(storage: StorageServer, volume: Volume, tier: TierName = "cold", **more: Any) -> Operation:
    return await storage.admin.call(volumes.MOVE, body=VolumeMove(tier=tier, **more), volume_id=volume.id)


async def deactivate(pool: libvirt.virStoragePool) -> None:
    """Stop a pool from outside. libvirt refuses it while it creates or deletes a volume there."""

    async def stopped() -> bool | None:
        with suppress(libvirt.libvirtError):
            pool.destroy()
        return None if pool.isActive() else True

    await until(stopped)


async def pause_before_switch(
    storage: StorageServer, volume: Volume, monkeypatch: pytest.MonkeyPatch, go: Path
) -> Operation:
    """Start a move to cold that pauses when its copy has its final name, until the file `go` exists."""
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "volume.move:named=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(go))
    operation = await move(storage, volume)

    async def named() -> bool | None:
        return True if ("cold", volume.name) in storage.files() else None

    await until(named)
    return operation


def expect_only_file(storage: StorageServer, volume: Volume, tier: str) -> None:
    """Expect that the volume has exactly one file, in this tier."""
    assert _files_of(storage, volume) == {(tier, volume.name)}


def _files_of(storage: StorageServer, volume: Volume) -> set[tuple[str, str]]:
    return {item for item in storage.files() if item[1].startswith(volume.name)}


def expect_content(storage: StorageServer, path: Path, image_format: str = "qcow2") -> None:
    check = ["-c", "read -P 7 1M 10M", "-c", "read -P 0 20M 5M", "-c", "read -P 9 40M 10M"]
    out = subprocess.run(
        ["qemu-io", "-r", "-U", "-f", image_format, *check, str(path)], capture_output=True, text=True, check=True
    )
    assert "verification failed" not in out.stdout


async def expect_one_copy(storage: StorageServer, vm: VM, volume: Volume, tier: str) -> None:
    async def shown() -> bool | None:
        now = await storage.admin.call(volumes.GET, volume_id=volume.id)
        if (now.tier, now.operation_id) != (tier, None):
            return None
        # A copy that libvirt still creates when its move is cancelled is removed a little later.
        return True if _files_of(storage, volume) == {(tier, volume.name)} else None

    await until(shown)
    expect_only_file(storage, volume, tier)
    now = await storage.volume(volume.name)
    assert str(storage.path(now)) in storage.disk_paths(vm.id)[1]
    expect_content(storage, storage.path(now))
    assert now.vm == vm.id
