"""Quotas of tenants: what counts, what is refused, and that requests at the same time cannot pass one together."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import access, quotas, vms
from novacron_core.api.operations import Operation
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.volumes.sizes import VolumeSizes
from tests.support.accounts import PASSWORD
from tests.support.quotas import MIB, limit, made_volume, shown, volume_named
from tests.support.requests import create_vm, succeeded, vm_request
from tests.support.server import LiveServer


async def test_64_parallel_creations_at_a_quota_of_10_make_10(server: LiveServer, image: str, owner_url: str) -> None:
    await limit(owner_url, max_vms=10)
    await create_vm(server, "first", start=False)
    wanted = [server.admin.call(vms.CREATE, body=vm_request(f"vm-{n:02}", start=False)) for n in range(64)]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    accepted = [each for each in results if isinstance(each, Operation)]
    refused = [each for each in results if isinstance(each, errors.QuotaExceeded)]
    assert (len(accepted), len(refused)) == (9, 55), results
    assert refused[0].detail == (
        "the tenant default uses 10 of its quota of 10 VMs, and this needs 1 more: free some, or ask an administrator "
        "for a larger quota"
    )
    for operation in accepted:
        await succeeded(server, operation)
    found = (await server.admin.call(vms.LIST)).items
    assert len([vm for vm in found if vm.tenant == "default"]) == 10
    assert (await shown(server)).vms == quotas.Amount(used=10, limit=10)


async def test_vcpus_and_memory_of_stopped_vms_count(server: LiveServer, image: str, owner_url: str) -> None:
    await limit(owner_url, max_vcpus=3, max_memory_bytes=100 * MIB)
    await create_vm(server, "web-01", vcpus=2, start=False)
    with pytest.raises(errors.QuotaExceeded, match="uses 2 of its quota of 3 vCPUs, and this needs 2 more"):
        await server.admin.call(vms.CREATE, body=vm_request("web-02", vcpus=2))
    with pytest.raises(errors.QuotaExceeded, match="uses 32 MiB of its quota of 100 MiB memory"):
        await server.admin.call(vms.CREATE, body=vm_request("web-02", memory_bytes=96 * MIB))
    await create_vm(server, "web-02", start=False)
    found = await shown(server)
    assert (found.vcpus.used, found.memory_bytes.used) == (3, 64 * MIB)
    assert {operation.target.name for operation in server.parts.inventory.state.operations()} == {"web-01", "web-02"}


async def test_deleted_and_failed_vms_give_their_place_back(
    server: LiveServer, image: str, owner_url: str, data_dir: Any
) -> None:
    await limit(owner_url, max_vms=1)
    vm = await create_vm(server, "web-01", start=False)
    deletion = await server.admin.call(
        vms.DELETE, vm_id=vm.id, query=vms.DeleteQuery(disks=True), if_match=vm.generation
    )
    await succeeded(server, deletion)
    (data_dir / "images" / "empty.qcow2").write_bytes(b"no image at all")
    with pytest.raises(errors.NovaCronError):
        await server.ended(await server.admin.call(vms.CREATE, body=vm_request("web-02")))
    assert (await shown(server)).vms.used == 0


async def test_sizes_of_volumes_follow_what_libvirt_reports(server: LiveServer, image: str, owner_url: str) -> None:
    await made_volume(server, "data-01", tier="cold")
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("UPDATE volumes SET size_bytes = 0")
    assert (await shown(server)).disk_bytes["cold"].used == 0
    volume = await volume_named(server, "data-01")
    await VolumeSizes(server.parts.database, server.parts.inventory).store(volume.host)
    assert (await shown(server)).disk_bytes["cold"].used == 8 * MIB


async def test_only_administrators_see_the_quota_of_another_tenant(
    server: LiveServer, image: str, owner_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("INSERT INTO tenants (id, name, max_vms) VALUES ('red', 'red', 7)")
    other = await server.admin.call(quotas.GET, query=quotas.QuotaQuery(tenant="red"))
    assert other.vms == quotas.Amount(used=0, limit=7)
    body = access.Register(username="bob", password=PASSWORD, role=Role.OPERATOR)
    await server.admin.call(access.REGISTER, body=body)
    async with Client(server.url) as bob:
        await bob.sign_in("bob", PASSWORD)
        assert (await bob.call(quotas.GET)).tenant == "default"
        answers = []
        for tenant in ("red", "no-such-tenant"):
            with pytest.raises(errors.NotFound) as refused:
                await bob.call(quotas.GET, query=quotas.QuotaQuery(tenant=tenant))
            answers.append(refused.value.detail)
        assert answers[0] == answers[1]
