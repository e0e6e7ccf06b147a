"""Kills the server or libvirtd while the server moves volumes by itself: afterwards one verified copy is referenced, no
other is left, and every move that was begun has a known end. NOVACRON_MOVE_KILLS=all kills at every step."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from novacron_core.api import automatic, operations, tiering, vms, volumes
from novacron_core.api.automatic import AutomaticChange, PairChange, StorageDecision
from novacron_core.api.base import ListQuery
from novacron_core.api.tiering import PlacementChange, PolicyChange
from novacron_core.api.volumes import Volume, VolumeMove
from tests.support.killable import KillableStorageServer, open_killable_server
from tests.support.libvirtd import require_private_libvirtd
from tests.support.storage import MIB, RUNNING, STOPPED, expect_content, expect_only_file
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="function")]
ALL = os.environ.get("NOVACRON_MOVE_KILLS") == "all"
OWN = ["storage.automatic:decided", "storage.automatic:begun"]
IMPORTANT = {"stopped": OWN, "running": ["volume.move:mirroring", "volume.move:pivoted"]}
EVERY = {
    "stopped": [*OWN, *(f"volume.move:{place}" for place in STOPPED)],
    "running": [*OWN, *(f"volume.move:{place}" for place in RUNNING)],
}
PLACES = EVERY if ALL else IMPORTANT
RANDOM_KILLS = 8 if ALL else 2
ENDED = {"moved", "failed", "stopped", "cancelled", "held"}


@pytest_asyncio.fixture
async def killable(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KillableStorageServer]:
    """Idle volumes leave the hot tier as soon as automatic moves are on; a day of heat takes a second."""
    require_private_libvirtd()
    monkeypatch.setenv("NOVACRON_HEAT_SPEED", "100000")
    async with open_killable_server(hot_elsewhere=True) as made:
        policy = PolicyChange(observe_s=0, idle_warm_s=0, idle_cold_s=10 * 365 * 86_400, cooldown_s=0, return_s=0)
        await made.admin.call(tiering.SET_POLICY, body=policy)
        await switch(made, on=False)
        yield made


async def switch(killable: KillableStorageServer, *, on: bool, bandwidth: int = 0) -> None:
    pairs = {"hot-to-warm": PairChange(enabled=True, bandwidth_bytes_s=bandwidth)}
    change = AutomaticChange(enabled=on, pairs=pairs)  # type: ignore[arg-type]  # a literal as key
    await killable.admin.call(tiering.SET_POLICY, body=PolicyChange(automatic=change))


async def decisions(killable: KillableStorageServer) -> list[StorageDecision]:
    return (await killable.admin.call(automatic.DECISIONS, query=ListQuery(page_size=1000))).items


async def vm_with(killable: KillableStorageServer, volume: Volume, *, start: bool) -> vms.VM:
    """A VM with the volume. Its own disk stays where it is."""
    vm = await killable.vm("web-01", volume, start=start)
    for each in (await killable.admin.call(volumes.LIST)).items:
        if each.id != volume.id:
            await killable.admin.call(tiering.PLACE, body=PlacementChange(pinned=True), volume_id=each.id)
    return vm


async def is_moved(killable: KillableStorageServer, volume: Volume) -> None:
    """Wait until the volume is in the warm tier and every decision has ended."""

    async def there() -> bool | None:
        now = await killable.admin.call(volumes.GET, volume_id=volume.id)
        if (now.tier, now.operation_id) != ("warm", None):
            return None
        return True if all(each.result in ENDED for each in await decisions(killable)) else None

    await until(there, 60)


async def back_to_hot(killable: KillableStorageServer, volume: Volume) -> None:
    body = VolumeMove(tier="hot")
    await killable.succeeded(await killable.admin.call(volumes.MOVE, body=body, volume_id=volume.id))


async def expect_one_verified_copy(killable: KillableStorageServer, volume: Volume, vm: vms.VM) -> None:
    now = await killable.volume(volume.name)
    expect_only_file(killable, volume, "warm")
    expect_content(killable, killable.path(now))
    live, persistent = killable.disk_paths(vm.id)
    assert str(killable.path(now)) in persistent
    assert live == persistent
    page = await killable.admin.call(operations.LIST, query=ListQuery(q="running", page_size=1000))
    assert [each for each in page.items if not each.state.ended] == []


@pytest.mark.timeout(60 + 25 * sum(map(len, PLACES.values())))
@pytest.mark.parametrize("how", PLACES)
async def test_killed_move_ends_and_is_made_later(
    killable: KillableStorageServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await killable.create_volume("data")
    vm = await vm_with(killable, volume, start=how == "running")
    for place in PLACES[how]:
        killable.process.stop()
        monkeypatch.setenv("NOVACRON_FAILPOINTS", f"{place}=crash")
        await killable.start()
        monkeypatch.delenv("NOVACRON_FAILPOINTS")
        await killable.wait_until_listed(volume.id, True)
        await switch(killable, on=True)
        await until(killable.has_exited, 60)
        await killable.start()
        await killable.wait_until_listed(volume.id, True)
        await is_moved(killable, volume)
        await expect_one_verified_copy(killable, volume, vm)
        assert (await killable.server.vm("web-01")).state == ("running" if how == "running" else "stopped"), place
        await switch(killable, on=False)
        await back_to_hot(killable, volume)
    moved = [each for each in await decisions(killable) if each.result == "moved"]
    assert len(moved) >= len(PLACES[how]), "each move is found again, also after the crash"


@pytest.mark.long
@pytest.mark.timeout(120 + 40 * RANDOM_KILLS)
@pytest.mark.parametrize("victim", ["server", "libvirtd"])
async def test_kills_at_random_leave_one_copy(killable: KillableStorageServer, victim: str) -> None:
    volume = await killable.create_volume("data")
    vm = await vm_with(killable, volume, start=True)
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    delays = random.Random(seed)
    for _ in range(RANDOM_KILLS):
        await switch(killable, on=True, bandwidth=8 * MIB)
        await asyncio.sleep(delays.uniform(0.5, 5.0))
        if victim == "server":
            killable.process.kill()
            await killable.start()
        else:
            killable.daemon.signal(signal.SIGKILL)
            killable.daemon.wait()
            killable.daemon.start()
            killable.reconnect()
            await killable.wait_until_up()
        await killable.wait_until_listed(volume.id, True)
        await is_moved(killable, volume)
        await expect_one_verified_copy(killable, volume, vm)
        await switch(killable, on=False)
        await back_to_hot(killable, volume)
