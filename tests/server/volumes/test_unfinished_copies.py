"""A copy that a move is making, or a volume that it takes away, belongs to the move: nobody's volume beside the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.volumes import VolumeCreate, VolumeMove
from novacron_core.values.tiers import TierName
from tests.support.storage import MIB, StorageServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def in_libvirt(storage: StorageServer, name: str) -> list[tuple[str, str]]:
    """(tier, name) of what libvirt has under this name, as the server reads it; the server's picture is as new."""
    (host,) = storage.server.parts.inventory.connections()
    tiers = {pool.name: pool.tier or "" for pool in (await storage.three_pools()).values()}
    there = [(tiers[facts.pool], facts.name) for facts in await host.storage.read_volumes(refresh=True)]
    await storage.server.parts.inventory.refresh_volumes(host.host_id)
    return sorted((tier, found) for tier, found in there if found.startswith(name))


async def listed(storage: StorageServer, name: str) -> list[tuple[str | None, str, bool]]:
    page = await storage.admin.call(volumes.LIST, query=ListQuery(page_size=1000))
    return [(v.tier, v.name, v.unmanaged) for v in page.items if v.name.startswith(name)]


@pytest.mark.parametrize(
    ("place", "running", "beside", "shown"),
    [
        ("made", False, ("cold", ".part"), "hot"),
        ("named", False, ("cold", "x-named"), "hot"),
        ("told", False, ("hot", "x-told"), "cold"),
        ("mirroring", True, ("cold", "x-mirroring"), "hot"),
    ],
)
async def test_only_the_volume_that_counts_is_shown(
    storage: StorageServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
    running: bool,
    beside: tuple[str, str],
    shown: str,
) -> None:
    volume = await storage.made(f"x-{place}")
    if running:
        await storage.vm(f"web-x-{place}", volume, start=True)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.move:{place}=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id)

    async def paused() -> bool | None:
        found = await in_libvirt(storage, volume.name)
        both = any(tier == beside[0] and name.endswith(beside[1]) for tier, name in found)
        rows = storage.server.parts.inventory.state.storage.volume_rows.values()
        pool = next((row.pool for row in rows if row.id == volume.id), None)
        moved = pool == (await storage.three_pools())[shown].name
        return True if len(found) == 2 and both and moved else None

    await until(paused)
    assert await listed(storage, volume.name) == [(shown, volume.name, False)]
    other: TierName = "cold" if shown == "hot" else "hot"
    if place != "made":
        with pytest.raises(errors.Conflict, match=f"the name {volume.name} cannot be used in {other}"):
            body = VolumeCreate(name=volume.name, size_bytes=MIB, tier=other)
            await storage.admin.call(volumes.CREATE, body=body)
    (tmp_path / "go").touch()
    await storage.done(operation)
    assert await listed(storage, volume.name) == [("cold", volume.name, False)]


async def test_a_stranger_is_shown_when_the_move_has_ended(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay under the copy's name before is somebody's, and the move is refused for it."""
    volume = await storage.made("x-taken")
    cold = (await storage.three_pools())["cold"]
    theirs = storage.server.data_dir / "pools" / "cold" / "x-taken"
    theirs.write_bytes(b"somebody's" * 512)
    ended = await storage.ended(
        await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id)
    )
    assert ended.problem is not None
    assert "named x-taken already" in ended.problem.detail

    async def both() -> bool | None:
        await in_libvirt(storage, "x-taken")
        return True if sorted(await listed(storage, "x-taken"), key=str) == expected else None

    expected = sorted([("hot", "x-taken", False), (cold.tier, "x-taken", True)], key=str)
    await until(both)
