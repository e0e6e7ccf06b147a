"""An undo that failed is repeated later: what somebody else has by then stays his."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.ownership import Adopt, HandOver
from novacron_core.api.vms import VM
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, members_of


@dataclass
class Failing:
    """A server on which an operation and the end of its undo fail; rob is an operator of red."""

    server: LiveServer
    rob: Client
    patch: pytest.MonkeyPatch

    async def fails(self, method: str, call: Any) -> Operation:
        """The ended operation that `call` begins, with this method of the host failing, and its undo still due."""

        async def refuse(*_: Any, **__: Any) -> None:
            raise errors.Conflict("libvirt says no")

        with self.patch.context() as patch:
            patch.setattr(LibvirtHost, method, refuse)
            patch.setattr(Inventory, "refresh_volumes", refuse)
            ended = await self.server.ended(await call)
        assert ended.state is OperationState.FAILED
        assert await self.pending() == 1
        await self.server.parts.inventory.refresh_volumes(self.server.parts.inventory.connections()[0].host_id)
        return ended

    async def pending(self) -> int:
        return len(await self.server.parts.operations.pending_undos.all())

    async def undo(self) -> None:
        await self.server.parts.operations.pending_undos.once()
        assert await self.pending() == 0

    async def vm(self, vm_id: str) -> VM:
        return await self.server.admin.call(vms.GET, vm_id=vm_id)

    async def owners_of_disks(self) -> set[tuple[str | None, str | None]]:
        host = self.server.parts.inventory.connections()[0].host_id
        await self.server.parts.inventory.refresh_volumes(host)
        return {(each.tenant, each.owner) for each in (await self.server.admin.call(volumes.LIST)).items}


@pytest.fixture
async def failing(
    server: LiveServer, image: str, owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Failing]:
    await three_pools(server)
    for tenant in ("red", "blue"):
        await add_tenant(owner_url, tenant)
    people = (("rob", "red", Role.OPERATOR), ("bea", "blue", Role.OPERATOR), ("bob", "default", Role.OPERATOR))
    async with members_of(server, owner_url, *people) as (rob, *_):
        yield Failing(server, rob, monkeypatch)


async def made(failing: Failing) -> str:
    operation = await failing.rob.call(vms.CREATE, body=vm_request("r-1", start=False))
    return (await succeeded(failing.server, operation)).target.id


async def test_handover_that_failed_takes_nothing_back_from_the_next_owner(failing: Failing) -> None:
    vm_id, admin = await made(failing), failing.server.admin
    first = HandOver(tenant="default", owner="bob")
    await failing.fails("set_tag", admin.call(vms.HAND_OVER, body=first, vm_id=vm_id))
    assert (await failing.vm(vm_id)).tenant == "red"
    second = HandOver(tenant="blue", owner="bea")
    await succeeded(failing.server, await admin.call(vms.HAND_OVER, body=second, vm_id=vm_id))
    await failing.undo()
    assert ((await failing.vm(vm_id)).tenant, await failing.owners_of_disks()) == ("blue", {("blue", "bea")})


async def test_adoption_that_failed_releases_no_vm_of_others(failing: Failing) -> None:
    vm_id, admin = await made(failing), failing.server.admin
    await succeeded(failing.server, await admin.call(vms.RELEASE, vm_id=vm_id))
    await failing.fails("set_tag", admin.call(vms.ADOPT, body=Adopt(tenant="default", owner="bob"), vm_id=vm_id))
    await succeeded(failing.server, await admin.call(vms.ADOPT, body=Adopt(tenant="red", owner="rob"), vm_id=vm_id))
    await failing.undo()
    assert ((await failing.vm(vm_id)).tenant, await failing.owners_of_disks()) == ("red", {("red", "rob")})


@pytest.mark.parametrize("adopted", [True, False], ids=["adopted", "deleted without disks"])
async def test_creation_that_failed_at_its_end_deletes_no_disk_later(failing: Failing, adopted: bool) -> None:
    """The VM was complete: it is another tenant's by now, or was deleted without its disks."""
    admin = failing.server.admin
    ended = await failing.fails("start", failing.rob.call(vms.CREATE, body=vm_request("r-1", start=True)))
    vm_id = ended.target.id
    if adopted:
        await succeeded(failing.server, await admin.call(vms.RELEASE, vm_id=vm_id))
        adopt = Adopt(tenant="default", owner="bob")
        await succeeded(failing.server, await admin.call(vms.ADOPT, body=adopt, vm_id=vm_id))
    else:
        generation = (await failing.vm(vm_id)).generation
        gone = await failing.rob.call(vms.DELETE, query=vms.DeleteQuery(disks=False), if_match=generation, vm_id=vm_id)
        await succeeded(failing.server, gone)
    before = await failing.owners_of_disks()
    assert before == ({("default", "bob")} if adopted else {("red", "rob")})
    await failing.undo()
    assert await failing.owners_of_disks() == before
