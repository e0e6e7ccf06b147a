"""How far a move is, and how fast: holes that are skipped are no bytes that were copied."""

from __future__ import annotations

from typing import Any

import pytest

from novacron_core.api import volumes
from novacron_core.api.volumes import Volume, VolumeCreate, VolumeMove
from novacron_server.operations.context import OperationContext
from tests.support.storage import MIB, StorageServer, run

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIZE = 200 * MIB


async def sparse(storage: StorageServer, name: str) -> Volume:
    """A raw volume of which very little was ever written, far from its beginning."""
    body = VolumeCreate(name=name, size_bytes=SIZE, tier="hot", format="raw")
    await storage.done(await storage.admin.call(volumes.CREATE, body=body))
    volume = await storage.volume(name)
    await run("qemu-io", "-f", "raw", "-c", "write -P 7 180M 16M", str(storage.path(volume)))
    return volume


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What operations said of themselves: (bytes done, of how many)."""
    seen: list[tuple[int, int]] = []
    honest = OperationContext.report_bytes

    async def moved(self: OperationContext[Any], done_bytes: int, total_bytes: int) -> None:
        seen.append((done_bytes, total_bytes))
        await honest(self, done_bytes, total_bytes)

    monkeypatch.setattr(OperationContext, "report_bytes", moved)
    return seen


async def test_a_disk_in_use_tells_what_is_in_it(storage: StorageServer, told: list[tuple[int, int]]) -> None:
    volume = await sparse(storage, "holes")
    await storage.vm("web-holes", volume, start=True)
    body = VolumeMove(tier="cold", bandwidth_bytes_s=8 * MIB)
    await storage.done(await storage.admin.call(volumes.MOVE, body=body, volume_id=volume.id))
    assert told
    assert all(0 <= done <= total for done, total in told)
    assert max(total for _, total in told) < SIZE // 2


async def test_what_goes_through_the_server_is_counted_with_its_holes_and_twice(
    storage: StorageServer, told: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await sparse(storage, "through")

    async def never(*_: object) -> bool:
        return False

    for sync in storage.server.parts.inventory._syncs.values():
        monkeypatch.setattr(sync.host.storage, "sees", never)
    await storage.done(await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id))
    assert {total for _, total in told} == {2 * SIZE}
    assert all(done <= total for done, total in told)
    assert max(done for done, _ in told) > SIZE  # reading back is told too
