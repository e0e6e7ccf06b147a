"""Progress and rate of a move: skipped holes do not count as copied bytes."""

from __future__ import annotations

from typing import Any

import pytest

from novacron_core.api import volumes
from novacron_core.api.volumes import Volume, VolumeCreate, VolumeMove
from novacron_server.operations.context import OperationContext
from tests.support.storage import MIB, StorageServer, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIZE = 200 * MIB


async def create_sparse(storage: StorageServer, name: str) -> Volume:
    """Create a raw volume with little data, far from its beginning."""
    body = VolumeCreate(name=name, size_bytes=SIZE, tier="hot", format="raw")
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    volume = await storage.volume(name)
    await run("qemu-io", "-f", "raw", "-c", "write -P 7 180M 16M", str(storage.path(volume)))
    return volume


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The progress that operations reported, as (bytes done, bytes in total)."""
    seen: list[tuple[int, int]] = []
    real = OperationContext.report_bytes

    async def record(self: OperationContext[Any], done_bytes: int, total_bytes: int) -> None:
        seen.append((done_bytes, total_bytes))
        await real(self, done_bytes, total_bytes)

    monkeypatch.setattr(OperationContext, "report_bytes", record)
    return seen


async def test_progress_of_a_disk_in_use_counts_allocated_bytes(
    storage: StorageServer, reported: list[tuple[int, int]]
) -> None:
    volume = await create_sparse(storage, "holes")
    await storage.vm("web-holes", volume, start=True)
    body = VolumeMove(tier="cold", bandwidth_bytes_s=8 * MIB)
    await storage.succeeded(await storage.admin.call(volumes.MOVE, body=body, volume_id=volume.id))
    assert reported
    assert all(0 <= done <= total for done, total in reported)
    assert max(total for _, total in reported) < SIZE // 2


async def test_progress_through_the_server_counts_the_whole_size_twice(
    storage: StorageServer, reported: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await create_sparse(storage, "through")

    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    await storage.succeeded(await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id))
    assert {total for _, total in reported} == {2 * SIZE}
    assert all(done <= total for done, total in reported)
    assert max(done for done, _ in reported) > SIZE  # reading back is reported too
