"""A pool's directory that does not respond, as NFS whose server is gone, costs only what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import disk_usage

import httpx
import pytest

from novacron_core import errors
from novacron_core.api import pools, vms, volumes
from novacron_core.api.pools import Pool, PoolTier
from novacron_core.api.volumes import VolumeAttach, VolumeCreate
from novacron_server.file_calls import FileCalls
from novacron_server.health import routes as health
from novacron_server.hypervisor.facts import PoolFacts
from novacron_server.hypervisor.storage.backing_files import Files
from novacron_server.hypervisor.storage.local_capacity import with_directory, with_local_capacity
from novacron_server.volumes.placement import choose_pool
from tests.support.dead_mounts import DeadMount
from tests.support.storage import MIB, StorageServer, move, run
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[DeadMount]:
    """A mount that a test starts."""
    (tmp_path / "dead").mkdir()
    mount = DeadMount(tmp_path / "dead")
    yield mount
    mount.end()


@pytest.mark.parametrize("active", [True, False])
async def test_pool_says_that_its_directory_does_not_respond(dead: DeadMount, active: bool) -> None:
    pool = PoolFacts(
        uuid="u",
        name="far",
        path=f"{dead.path}/pool",
        active=active,
        capacity_bytes=4,
        allocated_bytes=3,
        available_bytes=1,
        type="netfs",
    )
    dead.start()
    calls = FileCalls(1.0)
    found = with_local_capacity(with_directory(pool, calls, local=True), calls)
    assert found.problem == f"its directory {dead.path}/pool does not respond: is its file server down?"
    assert not found.responds
    assert (found.capacity_bytes, found.allocated_bytes, found.available_bytes) == (4, 3, 1), "libvirt's numbers"
    assert found.directory == pool.path
    assert with_directory(pool, calls, local=False).responds


async def test_paths_on_a_dead_mount_are_compared_by_name_and_their_chains_are_remembered(dead: DeadMount) -> None:
    base, overlay = dead.path.parent / "base", dead.path / "overlay"
    await run("qemu-img", "create", "-q", "-f", "qcow2", str(base), "1M")
    await run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(overlay))
    calls = FileCalls(1.0)
    assert Files(calls, local=True).chain([str(overlay)]) == {str(base)}
    dead.start()
    files = Files(calls, local=True)
    assert files.real(f"{dead.path}/../dead//overlay") == str(overlay)
    assert files.chain([str(overlay)]) == {str(base)}
    assert files.real(str(base)) == str(base)


async def test_only_what_is_on_the_mount_is_affected(storage: StorageServer) -> None:
    folder = storage.server.data_dir / "far"
    folder.mkdir(mode=0o711)
    pool = storage.libvirt.storagePoolDefineXML(POOL.format(name="far", path=folder), 0)
    pool.create(0)
    inactive = storage.libvirt.storagePoolDefineXML(POOL.format(name="far-off", path=folder / "off"), 0)
    assert not inactive.isActive()

    async def far() -> Pool | None:
        return next((pool for pool in (await storage.admin.call(pools.LIST)).items if pool.name == "far"), None)

    pool_id = (await until(far)).id
    await storage.succeeded(await storage.admin.call(pools.SET_TIER, body=PoolTier(tier="cold"), pool_id=pool_id))
    body = VolumeCreate(name="distant", size_bytes=MIB, pool=pool_id)
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    distant = await storage.volume("distant")
    vm = await storage.vm("far-vm", distant)
    near = await storage.create_volume("near")
    mount = DeadMount(folder)  # libvirtd, in its own namespace, goes on
    mount.start()
    try:
        await storage.server.parts.inventory.refresh_volumes(distant.host)
        shown = {pool.name: pool for pool in (await storage.admin.call(pools.LIST)).items}
        assert shown["far"].problem == f"its directory {folder} does not respond: is its file server down?"
        assert shown["far-off"].problem == f"its directory {folder}/off does not respond: is its file server down?"
        assert {pool.problem for pool in shown.values() if pool.managed} == {""}
        assert await storage.volume("distant"), "what was read last is shown"
        await storage.succeeded(await move(storage, near))
        await storage.succeeded(await storage.admin.call(volumes.DELETE, volume_id=near.id))
        attached = await storage.create_volume("attached-near")
        attach = storage.admin.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=attached.id)
        await storage.succeeded(await attach)
        cold = next(pool.name for pool in shown.values() if pool.tier == "cold" and pool.managed)
        with pytest.raises(errors.Conflict, match=r"cold has no active pool on .* \(far: its directory .* not respond"):
            choose_pool(storage.server.parts.inventory, distant.host, "cold", exclude=cold)
        refused = await storage.ended(
            await storage.admin.call(volumes.CREATE, body=VolumeCreate(name="late", size_bytes=MIB, pool=pool_id))
        )
        assert refused.problem is not None
        assert refused.problem.detail == f"{folder} does not respond: is its file server down?"
        with pytest.raises(errors.Conflict, match=f"{folder} does not respond: is its file server down"):
            await storage.admin.call(volumes.DETACH, volume_id=distant.id)
        await storage.vm("beside-far")
    finally:
        mount.end()

    async def responds() -> bool | None:
        await storage.server.parts.inventory.refresh_volumes(distant.host)
        return True if (found := await far()) and not found.problem else None

    await until(responds)
    await storage.succeeded(await storage.admin.call(volumes.DETACH, volume_id=distant.id))
    query = vms.DeleteQuery(disks=True)
    match = (await storage.server.vm(vm.name)).generation
    await storage.succeeded(await storage.admin.call(vms.DELETE, query=query, if_match=match, vm_id=vm.id))


async def test_health_tells_of_a_data_directory_that_does_not_respond(
    storage: StorageServer, monkeypatch: pytest.MonkeyPatch, dead: DeadMount
) -> None:
    async def answer() -> tuple[int, str]:
        async with httpx.AsyncClient() as client:
            got = await client.get(f"{storage.admin.base_url}/health")
            return got.status_code, got.json()["checks"]["storage"]["status"]

    assert await answer() == (200, "healthy")
    real = disk_usage
    with monkeypatch.context() as patch:
        patch.setattr(health, "disk_usage", lambda _: real(dead.path.parent / "gone"))
        assert await answer() == (503, "unhealthy")
        dead.start()
        patch.setattr(health, "FILE_CALLS", FileCalls(1.0))
        patch.setattr(health, "disk_usage", lambda _: real(dead.path))
        assert await answer() == (503, "unhealthy")
    assert await answer() == (200, "healthy")
