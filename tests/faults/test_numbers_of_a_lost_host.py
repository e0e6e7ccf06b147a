"""What changes by itself is unknown while its host does not respond: no number of before is shown as one of now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from novacron_core.api import hosts, pools, tiers, usage, vms
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import State
from tests.support.event_stream import open_stream
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.requests import sampled, three_pools
from tests.support.server import ServerWithDatabase, open_server
from tests.support.waiting import until

pytestmark = pytest.mark.qemu
GUEST = """
<domain type='qemu'><name>busy</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>
"""


async def hot(server: ServerWithDatabase) -> Tier:
    return next(tier for tier in (await server.admin.call(tiers.LIST)).items if tier.name == "hot")


@pytest.mark.usefixtures("image")
async def test_lost_host_has_no_free_space_and_no_rates(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    daemon = libvirtd_named("goes")
    connection = libvirt.open(daemon.uri)
    connection.defineXML(GUEST).create()
    connection.close()
    async with open_server(data_dir, [daemon.uri]) as server:
        await three_pools(server)
        await sampled(server)
        before = await hot(server)
        assert before.free_bytes
        async with open_stream(server) as stream:
            daemon.kill()
            await stream.until(lambda f: f.get("target") == _tier("hot") and f["value"]["free_bytes"] is None)
        await until(lambda: _in_state(server, State.UNKNOWN))
        vm = await server.vm("busy")
        assert vm.last_state is State.RUNNING
        tier = await hot(server)
        assert (tier.free_bytes, tier.used_bytes, tier.read_bytes_s, tier.writes_s) == (None, None, None, None)
        assert any("does not respond" in note for note in tier.notes)
        assert {pool.available_bytes for pool in (await server.admin.call(pools.LIST)).items} == {None}
        assert [host.memory_free_bytes for host in (await server.admin.call(hosts.LIST)).items] == [None]
        now = await server.admin.call(usage.NOW)
        assert (now.fleet.vms, now.fleet.cpu_cores, now.hosts[0].cpu_cores) == (0, None, None)
        assert "does not respond" in now.hosts[0].note
        assert (await server.admin.call(usage.TOP)).items == []
        assert (await server.admin.call(vms.LIST, query=vms.VMQuery(q="state:unknown"))).total == 1
        daemon.start()

        async def back() -> bool | None:
            return True if (await hot(server)).free_bytes and (await hot(server)).notes == [] else None

        await until(back, 60)
        assert (await server.vm("busy")).last_state is None


def _tier(name: str) -> dict[str, str]:
    return {"type": "tier", "id": name, "name": name}


async def _in_state(server: ServerWithDatabase, state: State) -> bool | None:
    return True if (await server.vm("busy")).state is state else None
