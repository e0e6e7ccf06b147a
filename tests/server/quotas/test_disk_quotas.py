"""Quotas of disk space by tier, on real volumes: also while a volume grows or moves."""

from __future__ import annotations

import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import quotas, volumes
from novacron_core.api.operations import OperationState
from novacron_core.api.volumes import VolumeClone, VolumeCreate, VolumeMove, VolumeResize
from novacron_server.volumes.sizes import VolumeSizes
from tests.support.quotas import MIB, limit, made_volume, shown
from tests.support.requests import succeeded
from tests.support.storage import StorageServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_volumes_count_by_tier_also_while_they_grow_or_move(storage: StorageServer) -> None:
    server, owner_url = storage.server, storage.server.postgres.owner_url
    await storage.three_pools()
    await limit(owner_url, max_disk_bytes=psycopg.types.json.Jsonb({"hot": 20 * MIB, "warm": 10 * MIB}))
    volume = await made_volume(server, "data-01", tier="hot")
    with pytest.raises(errors.QuotaExceeded, match="uses 8 MiB of its quota of 20 MiB disk space in hot"):
        await server.admin.call(volumes.CREATE, body=VolumeCreate(name="data-02", size_bytes=16 * MIB, tier="hot"))
    with pytest.raises(errors.QuotaExceeded, match="and this needs 16 MiB more"):
        await server.admin.call(volumes.RESIZE, body=VolumeResize(size_bytes=24 * MIB), volume_id=volume.id)
    grown = await server.admin.call(volumes.RESIZE, body=VolumeResize(size_bytes=16 * MIB), volume_id=volume.id)
    await succeeded(server, grown)
    assert (await shown(server)).disk_bytes["hot"] == quotas.Amount(used=16 * MIB, limit=20 * MIB)
    with pytest.raises(errors.QuotaExceeded, match="disk space in hot"):
        await server.admin.call(volumes.CLONE, body=VolumeClone(name="copy"), volume_id=volume.id)
    with pytest.raises(errors.QuotaExceeded, match="disk space in warm"):
        await server.admin.call(volumes.MOVE, body=VolumeMove(tier="warm"), volume_id=volume.id)
    moved = await server.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id)
    assert (await shown(server)).disk_bytes["cold"] == quotas.Amount(used=16 * MIB, limit=None)
    await succeeded(server, moved)
    found = await shown(server)
    assert (found.disk_bytes["hot"].used, found.disk_bytes["cold"].used) == (0, 16 * MIB)
    await limit(owner_url, max_disk_bytes=psycopg.types.json.Jsonb({}))


async def test_failed_growth_is_not_counted_for_good(storage: StorageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server = storage.server
    volume = await made_volume(server, "data-09", tier="warm")

    async def refuse(*_: object, **__: object) -> None:
        raise errors.Conflict("the disk is full")

    monkeypatch.setattr(server.parts.inventory.host(volume.host).storage, "resize_volume", refuse)
    body = VolumeResize(size_bytes=64 * MIB)
    ended = await server.ended(await server.admin.call(volumes.RESIZE, body=body, volume_id=volume.id))
    assert ended.state is OperationState.FAILED
    assert (await shown(server)).disk_bytes["warm"].used == 64 * MIB
    await VolumeSizes(server.parts.database, server.parts.inventory).store(volume.host)
    assert (await shown(server)).disk_bytes["warm"].used == 8 * MIB
