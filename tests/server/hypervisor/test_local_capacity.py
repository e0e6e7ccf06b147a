"""The disk of each pool, on a private libvirtd: two pools on one disk, one on a small tmpfs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from novacron_core.api.hosts import HostStatus
from novacron_server.hypervisor import PoolSpec, VolumeSpec
from novacron_server.hypervisor.facts import PoolFacts
from novacron_server.hypervisor.storage.local_capacity import with_local_capacity
from novacron_server.inventory.compose import HostView
from novacron_server.inventory.state import InventoryState
from tests.support.libvirt_hosts import WatchedHost
from tests.support.libvirtd import PrivateLibvirtd

NOW = datetime(2026, 11, 23, tzinfo=UTC)

MIB = 1 << 20


@pytest.fixture
def small(work_folder: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    path = work_folder / "small"
    path.mkdir(mode=0o711)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=711", "tmpfs", str(path)], check=False)
    if mounted.returncode:
        pytest.skip("no right to mount here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


async def test_pools_on_one_disk_are_detected_and_counted_once(
    small: Path, libvirtd: PrivateLibvirtd, watch: Callable[..., WatchedHost], work_folder: Path
) -> None:
    watched = watch(libvirtd.uri)
    await watched.host.open()
    await watched.until_status(HostStatus.UP)
    for name, path in (("a", work_folder / "a"), ("b", work_folder / "b"), ("c", small / "c")):
        await watched.host.storage.ensure_pool(PoolSpec(uuid=str(uuid4()), name=name, path=str(path)))
    facts = {pool.name: pool for pool in await watched.host.storage.read_pools()}
    assert facts["a"].device == facts["b"].device != facts["c"].device is not None
    assert facts["c"].capacity_bytes == 16 * MIB
    (small / "c" / "filler").write_bytes(bytes(4 * MIB))  # without libvirt noticing
    filled = {pool.name: pool for pool in await watched.host.storage.read_pools()}["c"]
    assert facts["c"].available_bytes - filled.available_bytes >= 4 * MIB

    tiers = {facts[name].uuid: tier for name, tier in (("a", "hot"), ("b", "hot"), ("c", "cold"))}
    state = InventoryState(lambda _host, uuid: tiers.get(uuid))
    host_id = str(uuid4())
    state.set_view(HostView(host_id, "one", watched.host.uri, HostStatus.UP, "", NOW, 1.0, None))
    state.set_storage(host_id, facts.values(), [], NOW)
    hot, warm, cold = state.storage.tiers()
    assert hot.capacity_bytes == facts["a"].capacity_bytes
    assert (len(hot.pools), hot.disks_known, hot.shares_disk_with) == (2, True, [])
    assert (warm.pools, warm.capacity_bytes) == ([], None)
    assert cold.capacity_bytes == 16 * MIB
    assert state.storage.pools_on(host_id)["a"].shares_disk_with == ["b"]
    tiers[facts["b"].uuid] = "cold"
    state.set_storage(host_id, facts.values(), [], NOW)
    hot, _, cold = state.storage.tiers()
    assert (hot.shares_disk_with, cold.shares_disk_with) == (["cold"], ["hot"])


def test_path_on_a_different_file_system_is_not_measured(tmp_path: Path) -> None:
    pool = PoolFacts(
        uuid=str(uuid4()),
        name="a",
        path=str(tmp_path),
        active=True,
        capacity_bytes=12345,
        allocated_bytes=1,
        available_bytes=2,
        type="dir",
    )
    assert with_local_capacity(pool) is pool
    gone = msgspec.structs.replace(pool, path=str(tmp_path / "nothing"))
    assert with_local_capacity(gone) is gone


async def test_existing_file_of_the_same_name_is_not_touched(
    libvirtd: PrivateLibvirtd, watch: Callable[..., WatchedHost], work_folder: Path
) -> None:
    watched = watch(libvirtd.uri)
    await watched.host.open()
    await watched.until_status(HostStatus.UP)
    storage = watched.host.storage
    await storage.ensure_pool(PoolSpec(uuid=str(uuid4()), name="a", path=str(work_folder / "a")))
    facts = await storage.create_volume(VolumeSpec(pool="a", name="v", size_bytes=MIB, format="raw"))
    assert await storage.sees(facts)
    assert not await storage.sees(msgspec.structs.replace(facts, modified_ns=(facts.modified_ns or 0) + 1))
    assert not await storage.sees(msgspec.structs.replace(facts, modified_ns=None))
    Path(facts.path).unlink()
    assert not await storage.sees(facts)
