"""While a move runs, its unfinished copy and its old copy are not listed as unmanaged volumes."""

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


async def read_in_libvirt(storage: StorageServer, name: str) -> list[tuple[str, str]]:
    """Read the (tier, name) pairs that libvirt has under this name, and refresh the inventory."""
    (host,) = storage.server.parts.inventory.connections()
    tiers = {pool.name: pool.tier or "" for pool in (await storage.three_pools()).values()}
    found_files = [(tiers[facts.pool], facts.name) for facts in await host.storage.read_volumes(refresh=True)]
    await storage.server.parts.inventory.refresh_volumes(host.host_id)
    return sorted((tier, found) for tier, found in found_files if found.startswith(name))


async def listed(storage: StorageServer, name: str) -> list[tuple[str | None, str, bool]]:
    page = await storage.admin.call(volumes.LIST, query=ListQuery(page_size=1000))
    return [(v.tier, v.name, v.unmanaged) for v in page.items if v.name.startswith(name)]


@pytest.mark.parametrize(
    ("place", "running", "other_copy", "shown"),
    [
        ("made", False, ("cold", ".part"), "hot"),
        ("named", False, ("cold", "x-named"), "hot"),
        ("told", False, ("hot", "x-told"), "cold"),
        ("mirroring", True, ("cold", "x-mirroring"), "hot"),
    ],
)
async def test_only_the_current_copy_is_listed(
    storage: StorageServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    place: str,
    running: bool,
    other_copy: tuple[str, str],
    shown: str,
) -> None:
    volume = await storage.create_volume(f"x-{place}")
    if running:
        await storage.vm(f"web-x-{place}", volume, start=True)
    monkeypatch.setenv("NOVACRON_FAILPOINTS", f"volume.move:{place}=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(tmp_path / "go"))
    operation = await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id)

    async def paused() -> bool | None:
        found = await read_in_libvirt(storage, volume.name)
        both = any(tier == other_copy[0] and name.endswith(other_copy[1]) for tier, name in found)
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
    await storage.succeeded(operation)
    assert await listed(storage, volume.name) == [("cold", volume.name, False)]


async def test_unmanaged_file_is_listed_when_the_move_has_ended(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that already has the copy's name is unmanaged, and the move is refused because of it."""
    volume = await storage.create_volume("x-taken")
    cold = (await storage.three_pools())["cold"]
    theirs = storage.server.data_dir / "pools" / "cold" / "x-taken"
    theirs.write_bytes(b"somebody's" * 512)
    ended = await storage.ended(
        await storage.admin.call(volumes.MOVE, body=VolumeMove(tier="cold"), volume_id=volume.id)
    )
    assert ended.problem is not None
    assert "named x-taken already" in ended.problem.detail

    async def both() -> bool | None:
        await read_in_libvirt(storage, "x-taken")
        return True if sorted(await listed(storage, "x-taken"), key=str) == expected else None

    expected = sorted([("hot", "x-taken", False), (cold.tier, "x-taken", True)], key=str)
    await until(both)
