"""A server of a demo, over HTTP: its VMs and their rows, their numbers and whose they are, and a crash."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from novacron_core.api import hosts, usage, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.vms import VM, State
from novacron_core.client import Client
from novacron_server.demo.crashes import SimulatedCrashes
from novacron_server.demo.seeding import seed
from novacron_server.runtime.settings import Settings
from novacron_server.tasks import cancel_tasks
from tests.support.accounts import administrator
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.server import LiveServer, all_hosts_read, running
from tests.support.waiting import until

COUNT = 24


@pytest_asyncio.fixture
async def demo(owner_url: str, database_url: str, data_dir: Path) -> AsyncIterator[LiveServer]:
    settings = Settings(data_dir, simulated_vms=COUNT, sign_ins_per_minute=1000, database_budget_s=LONG_BUDGET_S)
    uris = await seed(data_dir, owner_url, database_url, COUNT)
    assert await seed(data_dir, owner_url, database_url, COUNT) == uris, "a server that starts again keeps its fleet"
    async with running(settings, owner_url, database_url, uris) as (url, parts):
        token = await administrator(url, data_dir, "ann")
        async with Client(url) as admin:
            admin.credentials.token = token
            await until(lambda: all_hosts_read(parts))
            yield LiveServer(url, parts, admin, data_dir)


async def every_vm(server: LiveServer) -> list[VM]:
    return list((await server.admin.call(vms.LIST, query=vms.VMQuery(page_size=1000))).items)


async def test_fleet_has_hosts_owners_tags_tiers_and_disks(demo: LiveServer) -> None:
    found = await every_vm(demo)
    assert len(found) == COUNT
    assert all(vm.owner and vm.tags["role"] and vm.tier and vm.simulated and not vm.unmanaged for vm in found)
    names = {host.name for host in (await demo.admin.call(hosts.LIST, query=ListQuery())).items}
    assert names == {"kvm-a", "kvm-b", "kvm-c"}
    disks = (await demo.admin.call(volumes.LIST, query=ListQuery(page_size=1000))).items
    assert {disk.name for disk in disks} == {f"{vm.name}-{vm.id[:8]}.qcow2" for vm in found}
    tiers = {vm.id: vm.tier for vm in found}
    assert all(disk.vm is not None and disk.tier == tiers[disk.vm] for disk in disks)


async def test_its_numbers_are_said_to_be_the_simulators(demo: LiveServer) -> None:
    async def read() -> usage.FleetUsage | None:
        now = await demo.admin.call(usage.NOW)
        return now if all(host.cpu_percent for host in now.hosts) else None

    now = await until(read)
    assert {now.source, *(host.source for host in now.hosts)} == {"simulator"}
    assert all(host.memory_used_bytes for host in now.hosts)
    cpus = {host.id: host.cpus or 0 for host in (await demo.admin.call(hosts.LIST, query=ListQuery())).items}
    vcpus = Counter[str]()
    for vm in await every_vm(demo):
        vcpus[vm.host] += vm.vcpus
    for host in now.hosts:
        assert cpus[host.host] >= max(32, 0.4 * vcpus[host.host]), "as large as its node file says"
        assert host.vms.cpu_cores is not None
        assert host.cpu_cores is not None
        assert host.vms.cpu_cores <= cpus[host.host]
        assert host.cpu_cores < 0.95 * cpus[host.host]


async def test_one_running_vm_after_the_other_crashes_and_stays_so(demo: LiveServer) -> None:
    before = {vm.id: vm.state for vm in await every_vm(demo)}
    crashes = SimulatedCrashes(demo.parts.inventory, first_s=0.0)
    task = asyncio.create_task(crashes.run())

    async def crashed() -> VM | None:
        return next((vm for vm in await every_vm(demo) if "crashed" in vm.reason or vm.state is State.CRASHED), None)

    vm = await until(crashed)
    assert before[vm.id] is State.RUNNING
    await crashes._crash_one()  # a fleet this small has one crashed VM at most
    changed = [found.id for found in await every_vm(demo) if found.state is not before[found.id]]
    assert changed == [vm.id]
    await cancel_tasks([task])
