"""A real guest keeps writing while its disk moves hot → cold → hot: no acknowledged write is lost, and none fails."""

from __future__ import annotations

import asyncio

import pytest

from novacron_core.api import vms
from tests.support import writing_guest
from tests.support.storage import StorageServer, move

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.qemu]


@pytest.mark.timeout(180)
async def test_every_acknowledged_write_is_on_the_disk_after_two_moves(storage: StorageServer) -> None:
    await asyncio.to_thread(writing_guest.add_image, storage.server.data_dir / "images")
    vm = await writing_guest.started(storage, "writer")
    log = writing_guest.WriteLog(storage.daemon.uri, vm.id)
    try:
        await asyncio.to_thread(log.wait_for, 5)
        volume = await storage.volume(vm.disks[0].source.rpartition("/")[2])
        for tier in ("cold", "hot"):
            await storage.succeeded(await move(storage, volume, tier))
            assert (tier, volume.name) in storage.files()
            assert len([name for _, name in storage.files() if name == volume.name]) == 1
            await asyncio.to_thread(log.wait_for, 5)
        await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))
    finally:
        log.close()
    assert log.failed == []
    assert len(log.numbers) > 15
    now = await storage.volume(volume.name)
    assert now.tier == "hot"
    assert await asyncio.to_thread(
        writing_guest.missing, storage.path(now), [len(log.numbers) + 1000]
    )  # a missing write would be detected
    assert await asyncio.to_thread(writing_guest.missing, storage.path(now), log.numbers) == []
    print(f"{len(log.numbers)} writes, longest pause {max(log.gaps)} ms")
