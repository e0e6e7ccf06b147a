"""File systems of their own, in image files on loop devices, and pools on them in the system's libvirtd.

A pool of type `fs` is mounted by libvirtd itself, so it must be one that shares this process's mount namespace.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from signal import Signals
from uuid import uuid4

import libvirt
import pytest

from novacron_core.api import pools
from novacron_core.api.pools import PoolTier
from novacron_core.values.tiers import TierName
from novacron_server.hypervisor.connection.daemons import start_daemons
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.libvirt_hosts import QEMU, make_journey_dir, remove_domains, remove_leftovers, remove_pools
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.server import open_server
from tests.support.storage import StorageServer, deactivate, run
from tests.support.waiting import until

_JOURNEY = re.compile(r"/var/tmp/novacron-journey-(\d+)-\w+")
_MAKE = {"ext4": ("mkfs.ext4", "-q"), "xfs": ("mkfs.xfs", "-q")}


class SystemLibvirtd(PrivateLibvirtd):
    """The system's libvirtd, where tests have a private one. It is never stopped: others use it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "system")
        self.uri = QEMU

    def signal(self, number: Signals) -> None:
        raise AssertionError("the system's libvirtd is not the test's own")


@asynccontextmanager
async def open_two_file_systems() -> AsyncIterator[StorageServer]:
    """A server whose tier hot is a dir pool on ext4, and whose tier cold is an fs pool on xfs, until the end of the block.
    The pools are named `novacron-` and at random; `files` of the server lists what is in them."""
    if os.geteuid() != 0:
        pytest.skip("file systems on loop devices need root")
    start_daemons()
    connection = libvirt.open(QEMU)
    remove_leftovers(connection)
    _remove_left_devices()
    folder = make_journey_dir()
    try:
        with ExitStack() as stack:
            (folder / "data" / "images").mkdir(mode=0o711, parents=True)
            await run("qemu-img", "create", "-q", "-f", "qcow2", str(folder / "data/images/empty.qcow2"), "8M")
            ext4, xfs = (stack.enter_context(_device(folder, kind)) for kind in ("ext4", "xfs"))
            for tier in ("hot", "cold"):
                (folder / tier).mkdir()
            stack.enter_context(_mounted(ext4, folder / "hot"))
            stack.callback(remove_pools, connection, folder)  # before the devices are detached
            stack.callback(remove_domains, connection, folder)
            async with open_server(folder / "data", [QEMU], database_budget_s=LONG_BUDGET_S) as server:
                made = _Storage(server, SystemLibvirtd(folder), connection)
                made.folder = folder
                managed = await made.three_pools()
                await _use(made, managed["hot"], f"<pool type='dir'>{{}}{_target(folder / 'hot')}", "hot")
                source = f"<source><device path='{xfs}'/><format type='xfs'/></source>"
                await _use(made, managed["cold"], f"<pool type='fs'>{{}}{source}{_target(folder / 'cold')}", "cold")
                yield made
    finally:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Storage(StorageServer):
    folder: Path

    def files(self) -> set[tuple[str, str]]:
        found = ((path.parent.name, path.name) for tier in ("hot", "cold") for path in (self.folder / tier).glob("*"))
        return {(tier, name) for tier, name in found if name != "lost+found"}


def _target(path: Path) -> str:
    return f"<target><path>{path}</path></target></pool>"


async def _use(storage: StorageServer, instead_of: pools.Pool, definition: str, tier: TierName) -> None:
    """Define and start a pool, and make it the only active one of the tier."""
    name = f"novacron-{tier}-{uuid4().hex[:8]}"
    await deactivate(storage.libvirt.storagePoolLookupByName(instead_of.name))
    storage.libvirt.storagePoolDefineXML(definition.format(f"<name>{name}</name>"), 0).create(0)

    async def seen() -> pools.Pool | None:
        return next((pool for pool in (await storage.admin.call(pools.LIST)).items if pool.name == name), None)

    pool = await until(seen)
    await storage.succeeded(await storage.admin.call(pools.SET_TIER, body=PoolTier(tier=tier), pool_id=pool.id))


@contextmanager
def _device(folder: Path, kind: str) -> Iterator[str]:
    """A loop device with a new file system, until the end of the block. Skips if this kernel cannot have it."""
    known = re.search(rf"\t{kind}$", Path("/proc/filesystems").read_text(), re.MULTILINE)
    if not (known and shutil.which(_MAKE[kind][0])):
        pytest.skip(f"no {kind} here: the kernel does not know it, or {_MAKE[kind][0]} is not installed")
    image = folder / f"{kind}.img"
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run([*_MAKE[kind], str(image)], check=True)
    attached = subprocess.run(["losetup", "-f", "--show", str(image)], capture_output=True, text=True)
    if attached.returncode:
        pytest.skip(f"no loop device for {kind} here: {attached.stderr.strip()}")
    device = attached.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@contextmanager
def _mounted(device: str, path: Path) -> Iterator[None]:
    subprocess.run(["mount", device, str(path)], check=True)
    try:
        path.chmod(0o711)
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def _remove_left_devices() -> None:
    """Unmount and detach what test runs that were killed have left."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in filter(_is_left, mounts):
        subprocess.run(["umount", path])
    listed = subprocess.run(["losetup", "-n", "-O", "NAME,BACK-FILE"], capture_output=True, text=True).stdout
    for line in listed.splitlines():
        device, _, image = line.strip().partition(" ")
        if _is_left(image.strip()):
            subprocess.run(["losetup", "-d", device])
            with suppress(OSError):
                shutil.rmtree(Path(image.strip()).parent)


def _is_left(path: str) -> bool:
    found = _JOURNEY.match(path)
    return found is not None and not Path("/proc", found[1]).exists()
