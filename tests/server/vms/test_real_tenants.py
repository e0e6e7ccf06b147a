"""A VM and a volume of a tenant that is not the default one, on real QEMU: their names have the tenant in front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from novacron_core.api import vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.vms import State, VMCreate
from novacron_core.api.volumes import VolumeAttach, VolumeCreate, VolumeMove
from novacron_core.values.roles import Role
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.real_guests import in_states, served
from tests.support.requests import succeeded
from tests.support.tenants import add_tenant, member_of

pytestmark = pytest.mark.qemu


@pytest.mark.usefixtures("image")
async def test_tenant_s_vm_runs_and_its_volume_is_attached_and_moved(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    daemon = libvirtd_named("tenants")
    async with (
        EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres,
        served(postgres, data_dir, daemon.uri) as server,
    ):
        await add_tenant(postgres.owner_url, "red")
        async with await member_of(server, postgres.owner_url, "ron", "red", Role.OPERATOR) as ron:
            made = await ron.call(vms.CREATE, body=VMCreate(name="web-01", image="empty", memory_bytes=32 << 20))
            await succeeded(server, made)
            await in_states(server, **{"red~web-01": State.RUNNING})
            vm = await server.vm("red~web-01")
            await succeeded(server, await ron.call(volumes.CREATE, body=VolumeCreate(name="data", size_bytes=8 << 20)))
            own = next(
                each for each in (await ron.call(volumes.LIST, query=ListQuery())).items if each.name == "red~data"
            )
            attached = await ron.call(volumes.ATTACH, body=VolumeAttach(vm=vm.id), volume_id=own.id)
            await succeeded(server, attached)
            moved = await ron.call(volumes.MOVE, body=VolumeMove(tier="warm"), volume_id=own.id)
            await succeeded(server, moved)
        connection = libvirt.open(daemon.uri)
        try:
            assert connection.lookupByName("red~web-01").isActive()
        finally:
            connection.close()
