"""What a tenant did to others' work: it held places, lanes and transactions, and changed what was no longer its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import hosts, operations, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.api.ownership import HandOver
from novacron_core.api.vms import BulkOptions, BulkRequest
from novacron_core.api.volumes import VolumeAttach, VolumeClone, VolumeCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.host_storage import HostStorage
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.operations import repository
from novacron_server.places import ACTS_FOR
from novacron_server.vms.bulk.procedure import PER_HOST
from novacron_server.vms.procedures.create import MAX_CONCURRENT
from novacron_server.volumes.users import VolumeUsers
from tests.support.quotas import MIB
from tests.support.requests import succeeded, three_pools, vm_request
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, members_of
from tests.support.waiting import until


@dataclass
class Two:
    """The tenant red with its operator rob and its viewers; bob is an operator of default."""

    server: LiveServer
    rob: Client
    viewers: list[Client]
    bob: Client

    async def volume(self) -> str:
        await three_pools(self.server)
        body = VolumeCreate(name="data", size_bytes=8 * MIB)
        return (await succeeded(self.server, await self.rob.call(volumes.CREATE, body=body))).target.id

    async def vms(self, count: int, **more: Any) -> list[str]:
        """New VMs of rob."""
        made = [await self.rob.call(vms.CREATE, body=vm_request(f"r-{n}", **more)) for n in range(count)]
        return [(await succeeded(self.server, operation)).target.id for operation in made]


@pytest.fixture
async def two(server: LiveServer, image: str, owner_url: str) -> AsyncIterator[Two]:
    await add_tenant(owner_url, "red")
    people: tuple[tuple[str, str, Role], ...] = (
        ("rob", "red", Role.OPERATOR),
        *((name, "red", Role.VIEWER) for name in ("v-1", "v-2", "v-3", "v-4")),
        ("bob", "default", Role.OPERATOR),
    )
    async with members_of(server, owner_url, *people) as (rob, *viewers, bob):
        yield Two(server, rob, viewers, bob)


@pytest.mark.parametrize("body", [None, VolumeClone(name="mine")], ids=["delete", "clone"])
async def test_what_was_handed_over_during_the_checks_is_not_changed(
    two: Two, monkeypatch: pytest.MonkeyPatch, body: VolumeClone | None
) -> None:
    volume, real = await two.volume(), VolumeUsers.only

    async def meanwhile(users: VolumeUsers, *more: Any) -> Any:
        monkeypatch.setattr(VolumeUsers, "only", real)
        into = HandOver(tenant="default", owner="bob")
        await succeeded(two.server, await two.server.admin.call(volumes.HAND_OVER, body=into, volume_id=volume))
        return await real(users, *more)

    monkeypatch.setattr(VolumeUsers, "only", meanwhile)
    with pytest.raises(errors.Conflict, match="data has changed: refresh and try again"):
        if body is None:
            await two.rob.call(volumes.DELETE, volume_id=volume)
        else:
            await two.rob.call(volumes.CLONE, body=body, volume_id=volume)
    assert (await two.bob.call(volumes.GET, volume_id=volume)).owner == "bob"
    assert (await two.rob.call(volumes.LIST)).items == []


async def test_vm_that_has_just_gone_to_another_tenant_is_not_changed(two: Two, owner_url: str) -> None:
    """The server that accepts the change has not heard of the handover."""
    (vm_id,) = await two.vms(1, start=False)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("UPDATE vms SET tenant = 'default' WHERE id = %s", (vm_id,))
    with pytest.raises(errors.Conflict, match="has changed: refresh and try again"):
        await two.rob.call(vms.START, vm_id=vm_id)


async def test_guests_that_do_not_shut_down_hold_up_no_other_tenant(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = await two.vms(PER_HOST + 1)
    ours = (await succeeded(two.server, await two.bob.call(vms.CREATE, body=vm_request("b-0")))).target.id

    async def ignore(*_: Any) -> None: ...

    monkeypatch.setattr(LibvirtHost, "shutdown", ignore)
    held = await two.rob.call(
        vms.BULK, body=BulkRequest(action="stop", ids=deaf, options=BulkOptions(force_after_s=3600))
    )
    await until(lambda: _running(two.rob, held, PER_HOST))
    quick = BulkRequest(action="stop", ids=[ours], options=BulkOptions(force_after_s=1))
    await succeeded(two.server, await two.bob.call(vms.BULK, body=quick))
    now = await two.rob.call(operations.GET, operation_id=held.id)
    assert now.counts is not None
    assert (now.counts.running, now.counts.queued) == (PER_HOST, 1)


async def _running(client: Client, bulk: Operation, count: int) -> bool | None:
    counts = (await client.call(operations.GET, operation_id=bulk.id)).counts
    return (counts is not None and counts.running == count) or None


async def test_slow_creations_hold_up_no_other_tenant(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    real, for_ever = HostStorage.upload_volume, asyncio.Event()

    async def slow(storage: HostStorage, *values: Any, tenant: str | None, **more: Any) -> None:
        if tenant == "red":
            await for_ever.wait()
        await real(storage, *values, tenant=tenant, **more)

    monkeypatch.setattr(HostStorage, "upload_volume", slow)
    theirs = [await two.rob.call(vms.CREATE, body=vm_request(f"r-{n}", start=False)) for n in range(MAX_CONCURRENT + 1)]
    await succeeded(two.server, await two.bob.call(vms.CREATE, body=vm_request("b-0", start=False)))
    for operation in theirs:
        assert not (await two.rob.call(operations.GET, operation_id=operation.id)).state.ended
    for_ever.set()
    for operation in theirs:
        await succeeded(two.server, operation)


async def test_queue_of_quick_calls_is_no_hung_host(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many calls of one tenant wait for longer than the deadline of one; the host is up, and others' take their turn."""
    theirs, ours = await two.vms(1, start=False), vm_request("b-0", start=False)
    vm_id = (await succeeded(two.server, await two.bob.call(vms.CREATE, body=ours))).target.id
    host = next(iter(two.server.parts.inventory.connections()))
    supervisor = host._supervisor
    monkeypatch.setattr(supervisor, "timing", msgspec.structs.replace(supervisor.timing, read_s=2.0))
    real = DomainReader.read_one

    def slow(reader: DomainReader, *values: Any, **more: Any) -> Any:
        time.sleep(0.1)
        return real(reader, *values, **more)

    monkeypatch.setattr(DomainReader, "read_one", slow)
    async with _acting_for("red", *(lambda: host.read_domain(theirs[0]) for _ in range(80))) as reading:
        await asyncio.sleep(0.2)
        assert await host.read_domain(vm_id) is not None, "of another tenant: it need not wait for all of them"
        assert not all(task.done() for task in reading)
        answers = await asyncio.gather(*reading, return_exceptions=True)
    assert any(isinstance(answer, errors.HostUnavailable) for answer in answers), (
        "the queue was longer than the deadline"
    )
    assert [each.status for each in (await two.bob.call(hosts.LIST)).items] == [HostStatus.UP]


@asynccontextmanager
async def _acting_for(tenant: str, *calls: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    async def run(call: Callable[[], Awaitable[Any]]) -> Any:
        ACTS_FOR.set(tenant)
        return await call()

    tasks = [asyncio.create_task(run(call)) for call in calls]
    yield tasks
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_bulk_of_mostly_unknown_vms_is_refused_and_stores_nothing(two: Two, owner_url: str) -> None:
    (vm_id,) = await two.vms(1, start=False)
    body = BulkRequest(action="start", ids=[vm_id, *(str(uuid4()) for _ in range(4999))])
    with pytest.raises(errors.Conflict) as refused:
        await two.rob.call(vms.BULK, body=body)
    assert refused.value.detail == "4,999 of these 5,000 VMs were not found: nothing was done; refresh the list"
    async with await psycopg.AsyncConnection.connect(owner_url) as owner:
        found = await owner.execute("SELECT count(*) FROM bulk_items")
        assert await found.fetchone() == (0,)


async def test_slow_searches_of_operations_hold_up_no_other_tenant(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end, begun, page = asyncio.Event(), list[str](), repository.page

    async def slowly(connection: Any, principal: Any, words: list[str], *more: Any) -> Any:
        if words == ["slow"]:
            begun.append(principal.username)
            await may_end.wait()
        return await page(connection, principal, words, *more)

    monkeypatch.setattr(repository, "page", slowly)
    slow = ListQuery(q="slow")
    searches = [
        asyncio.create_task(viewer.call(operations.LIST, query=slow)) for viewer in two.viewers for _ in range(8)
    ]
    await until(lambda: _true(len(begun) == 3))
    assert (await two.bob.call(operations.LIST)).total >= 0
    assert len(begun) == len(set(begun)) == 3, "of each user one, and of a tenant half of the places"
    may_end.set()
    await asyncio.gather(*searches)
    with pytest.raises(errors.ValidationFailed, match="q: must have at most 32 words"):
        await two.bob.call(operations.LIST, query=ListQuery(q="e " * 33))


async def _true(value: bool) -> bool | None:
    return value or None


@pytest.mark.parametrize("column", ["tenant = 'default'", "owner = 'bob'"])
@pytest.mark.parametrize("table", ["vms", "volumes"])
async def test_what_has_just_become_somebody_elses_is_not_given_away(
    two: Two, owner_url: str, table: str, column: str
) -> None:
    """A VM, or one of its disks; the server that accepts the handover has not heard of it, as while it waits for a turn."""
    (vm_id,) = await two.vms(1, start=False)
    async with (
        members_of(two.server, owner_url, ("ray", "red", Role.OPERATOR)),
        await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner,
    ):
        await owner.execute(f"UPDATE {table} SET {column}")
        with pytest.raises(errors.Conflict, match="has changed: refresh and try again"):
            await two.rob.call(vms.HAND_OVER, body=HandOver(owner="ray"), vm_id=vm_id)
        found = await owner.execute(
            "SELECT 1 FROM vms WHERE owner = 'ray' UNION SELECT 1 FROM volumes WHERE owner = 'ray'"
        )
        assert await found.fetchall() == []


@pytest.mark.parametrize("column", ["tenant = 'default'", "owner = 'bob'"])
async def test_volume_that_has_just_become_somebody_elses_is_not_given_away(
    two: Two, owner_url: str, column: str
) -> None:
    volume = await two.volume()
    async with members_of(two.server, owner_url, ("ray", "red", Role.OPERATOR)):
        async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
            await owner.execute(f"UPDATE volumes SET {column}")
        with pytest.raises(errors.Conflict, match="has changed: refresh and try again"):
            await two.rob.call(volumes.HAND_OVER, body=HandOver(owner="ray"), volume_id=volume)


async def test_nothing_is_attached_to_a_vm_that_has_just_gone_to_another_tenant(two: Two, owner_url: str) -> None:
    volume, (vm_id,) = await two.volume(), await two.vms(1, start=False)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("UPDATE vms SET tenant = 'default' WHERE id = %s", (vm_id,))
    with pytest.raises(errors.Conflict, match="has changed: refresh and try again"):
        await two.rob.call(volumes.ATTACH, body=VolumeAttach(vm=vm_id), volume_id=volume)


async def test_disk_of_another_tenant_stays_when_its_vm_is_deleted(two: Two, owner_url: str) -> None:
    (vm_id,) = await two.vms(1, start=False)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("UPDATE volumes SET tenant = 'default', owner = 'bob' WHERE vm_id = %s", (vm_id,))
    generation = (await two.rob.call(vms.GET, vm_id=vm_id)).generation
    deleted = await two.rob.call(vms.DELETE, query=vms.DeleteQuery(disks=True), if_match=generation, vm_id=vm_id)
    await succeeded(two.server, deleted)
    await two.server.parts.inventory.refresh_volumes(two.server.parts.inventory.connections()[0].host_id)
    assert [volume.unmanaged for volume in two.server.parts.inventory.state.storage.volumes()] == [False]
