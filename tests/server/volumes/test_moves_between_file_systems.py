"""Moves between ext4 (a dir pool) and xfs (an fs pool that libvirt mounts), with real guests; thin disks stay thin (G9)."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest
import pytest_asyncio

from novacron_core.api import vms, volumes
from novacron_core.api.volumes import Volume, VolumeAttach
from novacron_core.values.sizes import GIB, MIB, TIB
from novacron_core.values.tiers import TierName
from tests.support import writing_guest
from tests.support.file_systems import open_two_file_systems
from tests.support.storage import StorageServer, digest, expect_only_file, move, run

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.qemu, pytest.mark.timeout(240)]
Format = Literal["qcow2", "raw"]
BIG: dict[Format, int] = {"qcow2": TIB, "raw": 200 * GIB}
TABLES: dict[Format, int] = {"qcow2": 8 * MIB, "raw": 0}
"""QEMU's mirror writes an L2 entry for every cluster of the whole disk: 128 MiB with the usual clusters."""
BACK_AND_FORTH: tuple[TierName, ...] = ("cold", "hot")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage() -> AsyncIterator[StorageServer]:
    async with open_two_file_systems() as made:
        yield made


def unique(name: str) -> str:
    """The system's libvirtd has guests of other tests."""
    return f"novacron-{name}-{uuid4().hex[:6]}"


def used(path: Path) -> int:
    """The bytes that a file occupies on its disk."""
    subprocess.run(["sync", "-d", str(path)], check=True)  # file systems allocate late
    return 512 * path.stat().st_blocks


def content(path: Path, image_format: Format) -> list[str]:
    """Where the disk of a guest has which data, and the result of reading it."""
    patterns = ["-c", "read -P 7 1M 50M", "-c", "read -P 0 100M 8M", "-c", "read -P 9 700M 50M"]
    command = ["qemu-io", "-r", "-U", "-f", image_format, *patterns, str(path)]
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in read.splitlines() if "failed" in line]


async def big_volume(storage: StorageServer, image_format: Format, *options: str) -> Volume:
    """A thin volume far larger than the file systems, with 100 MiB of data: no request for so large a one is accepted.
    `options` are those of qemu-img for its format."""
    name = unique(f"big-{image_format}")
    body = volumes.VolumeCreate(name=name, size_bytes=64 * MIB, format=image_format)
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    path = str(storage.path(await storage.volume(name)))
    await run("qemu-img", "create", "-q", "-f", image_format, *options, path, str(BIG[image_format]))
    await run("qemu-io", "-f", image_format, "-c", "write -P 7 1M 50M", "-c", "write -P 9 700M 50M", path)
    return await storage.volume(name)


def expect_thin(path: Path, before: int, tables: int = 0) -> None:
    assert used(path) <= 1.1 * before + 4 * MIB + tables


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_unattached_thin_disk_moves_between_file_systems(storage: StorageServer, image_format: Format) -> None:
    small = await storage.create_volume(unique(image_format), image_format=image_format)
    before = digest(storage.path(small))
    big = await big_volume(storage, image_format)
    size = used(storage.path(big))
    for tier in BACK_AND_FORTH:
        for volume in (small, big):
            await storage.succeeded(await move(storage, volume, tier))
            expect_only_file(storage, volume, tier)
        assert digest(storage.path(await storage.volume(small.name))) == before
        path = storage.path(await storage.volume(big.name))
        expect_thin(path, size)
        assert content(path, image_format) == []
    for volume in (small, big):
        await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=volume.id))
    assert {name for _, name in storage.files()} & {small.name, big.name} == set()


@pytest.mark.parametrize("image_format", ["qcow2", "raw"])
async def test_thin_disk_that_is_copied_through_the_server_stays_thin(
    storage: StorageServer, image_format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    # As the move of a disk in use makes it.
    options = ("-o", "cluster_size=2M,extended_l2=on") if image_format == "qcow2" else ()
    big = await big_volume(storage, image_format, *options)
    size = used(storage.path(big))
    for tier in BACK_AND_FORTH:
        await storage.succeeded(await move(storage, big, tier))
        expect_only_file(storage, big, tier)
        path = storage.path(await storage.volume(big.name))
        # libvirtd writes a raw copy by appending, and xfs then allocates ahead.
        expect_thin(path, size, size // 2 if image_format == "raw" else 0)
        assert content(path, image_format) == []
    await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=big.id))


async def test_disks_of_a_writing_guest_move_between_file_systems_and_stay_thin(storage: StorageServer) -> None:
    await asyncio.to_thread(writing_guest.add_image, storage.server.data_dir / "images")
    vm = await writing_guest.started(storage, unique("writer"))
    log = writing_guest.WriteLog(storage.daemon.uri, vm.id)
    try:
        await asyncio.to_thread(log.wait_for, 5)
        disk = await storage.volume(vm.disks[0].source.rpartition("/")[2])
        others = {kind: await big_volume(storage, kind) for kind in BIG}
        sizes = {kind: used(storage.path(volume)) for kind, volume in others.items()}
        for volume in others.values():
            body = VolumeAttach(vm=vm.id)
            await storage.succeeded(await storage.admin.call(volumes.ATTACH, body=body, volume_id=volume.id))
        for tier in BACK_AND_FORTH:
            for volume in (disk, *others.values()):
                await storage.succeeded(await move(storage, volume, tier))
                expect_only_file(storage, volume, tier)
            for kind, volume in others.items():
                path = storage.path(await storage.volume(volume.name))
                expect_thin(path, sizes[kind], TABLES[kind])
                assert content(path, kind) == []
            await asyncio.to_thread(log.wait_for, 5)
        live, persistent = storage.disk_paths(vm.id)
        assert live == persistent
        await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    finally:
        log.close()
    assert log.failed == []
    path = storage.path(await storage.volume(disk.name))
    assert await asyncio.to_thread(writing_guest.missing, path, log.numbers) == []
    await run("qemu-img", "check", "-q", str(path))
    await run("qemu-img", "check", "-q", str(storage.path(await storage.volume(others["qcow2"].name))))
