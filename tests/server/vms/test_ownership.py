"""Handovers, adoptions and releases of VMs and volumes, by whom they may be done, and who sees what afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import audit, operations, quotas, stored_events, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import OperationState
from novacron_core.api.ownership import Adopt, HandOver
from novacron_core.api.vms import VM
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.event_stream import open_stream
from tests.support.quotas import MIB, limit, made_volume, volume_named
from tests.support.requests import create_vm, succeeded
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, members_of, put_into

NAMESPACE = "urn:novacron:vm:1"


@dataclass
class TwoTenants:
    """`ann` administers; `default` has the owner `olga` and the operators `bob` and `cid`; `red` the operator `rob`."""

    server: LiveServer
    olga: Client
    bob: Client
    cid: Client
    rob: Client

    @property
    def ann(self) -> Client:
        return self.server.admin


@pytest.fixture
async def two(server: LiveServer, image: str, owner_url: str) -> AsyncIterator[TwoTenants]:
    await add_tenant(owner_url, "red")
    people: tuple[tuple[str, str, Role], ...] = (
        ("olga", "default", Role.OWNER),
        ("bob", "default", Role.OPERATOR),
        ("cid", "default", Role.OPERATOR),
        ("rob", "red", Role.OPERATOR),
    )
    async with members_of(server, owner_url, *people) as clients:
        yield TwoTenants(server, *clients)


async def vm_of(two: TwoTenants, client: Client, name: str = "web-01") -> VM:
    created = await client.call(vms.CREATE, body=vms.VMCreate(name=name, image="empty", memory_bytes=32 * MIB))
    await succeeded(two.server, created)
    return await two.server.vm(name)


def tag_of(connection: libvirt.virConnect, vm: VM) -> str:
    try:
        found: str = connection.lookupByUUIDString(vm.id).metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, 0)
    except libvirt.libvirtError:
        return ""
    return found


async def test_owner_gives_a_vm_and_its_disks_to_a_colleague(two: TwoTenants) -> None:
    vm = await vm_of(two, two.bob)
    operation = await two.bob.call(vms.HAND_OVER, body=HandOver(owner="cid"), vm_id=vm.id)
    await succeeded(two.server, operation)
    now = await two.server.vm("web-01")
    assert (now.owner, now.tenant, now.generation) == ("cid", "default", vm.generation + 1)
    disk = next(volume for volume in (await two.cid.call(volumes.LIST)).items if volume.vm == vm.id)
    assert (disk.owner, disk.tenant) == ("cid", "default")
    with pytest.raises(errors.Forbidden, match="web-01 belongs to cid: only its owner"):
        await two.bob.call(vms.HAND_OVER, body=HandOver(owner="bob"), vm_id=vm.id)
    await succeeded(two.server, await two.olga.call(vms.HAND_OVER, body=HandOver(owner="bob"), vm_id=vm.id))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (HandOver(owner="rob"), "rob is not a member of the tenant default"),
        (HandOver(owner="nobody"), "nobody is not a member of the tenant default"),
        (HandOver(owner="bob"), "belongs to bob in default already"),
        (HandOver(), "belongs to bob in default already"),
    ],
)
async def test_impossible_recipients_are_refused_and_nothing_changes(
    two: TwoTenants, body: HandOver, sentence: str
) -> None:
    vm = await vm_of(two, two.bob)
    with pytest.raises(errors.ValidationFailed, match=sentence):
        await two.olga.call(vms.HAND_OVER, body=body, vm_id=vm.id)
    assert await two.server.vm("web-01") == vm


async def test_vm_goes_to_another_tenant_with_its_disks_and_is_gone_for_the_first(
    two: TwoTenants, libvirt_connection: libvirt.virConnect
) -> None:
    vm = await vm_of(two, two.bob)
    body = HandOver(tenant="red", owner="rob")
    with pytest.raises(errors.Forbidden, match="only administrators can move it to another tenant"):
        await two.olga.call(vms.HAND_OVER, body=body, vm_id=vm.id)
    async with (
        open_stream(two.server, token=two.bob.credentials.token or "") as old,
        open_stream(two.server, token=two.rob.credentials.token or "") as new,
    ):
        await succeeded(two.server, await two.ann.call(vms.HAND_OVER, body=body, vm_id=vm.id))
        gone = await old.event("vm.deleted")
        assert (gone["target"]["id"], gone["value"], gone["tenant"]) == (vm.id, None, "default")
        volume_gone = await old.event("volume.deleted")
        assert volume_gone["value"] is None
        come = await new.until(lambda f: f["frame"] == "event" and f["target"]["id"] == vm.id)
        assert (come["value"]["owner"], come["value"]["tenant"]) == ("rob", "red")
        assert not any("rob" in str(frame) for frame in old.frames if frame.get("frame") == "event")
    assert [each.id for each in (await two.rob.call(vms.LIST)).items] == [vm.id]
    assert (await two.bob.call(vms.LIST)).total == 0
    assert {volume.tenant for volume in (await two.rob.call(volumes.LIST)).items} == {"red"}
    with pytest.raises(errors.NotFound):
        await two.bob.call(vms.GET, vm_id=vm.id)
    assert 'tenant="red"' in tag_of(libvirt_connection, vm)
    entries = (await two.ann.call(audit.LIST, query=audit.AuditQuery(q="action:vm.hand-over"))).items
    accepted = [each for each in entries if each.result is audit.AuditResult.ACCEPTED]
    assert {(each.tenant, each.target.id, each.actor) for each in accepted} == {
        ("default", vm.id, "ann"),
        ("red", vm.id, "ann"),
    }


async def test_what_a_resumed_stream_gets_hides_what_has_left_the_tenant(two: TwoTenants) -> None:
    vm = await vm_of(two, two.bob)
    after = two.server.parts.inventory.state.seq
    body = HandOver(tenant="red", owner="rob")
    await succeeded(two.server, await two.ann.call(vms.HAND_OVER, body=body, vm_id=vm.id))
    async with open_stream(two.server, f"?after={after}", token=two.bob.credentials.token or "") as old:
        await old.event("vm.deleted")
        await old.event("operation.succeeded")
        about = [frame for frame in old.frames if frame.get("target", {}).get("id") == vm.id]
        assert about
        assert all(frame["value"] is None for frame in about)


async def test_quota_of_the_new_tenant_counts(two: TwoTenants, owner_url: str) -> None:
    vm = await vm_of(two, two.bob)
    await limit(owner_url, max_vms=0)
    with pytest.raises(errors.QuotaExceeded, match="the quota of the new tenant has no room for web-01"):
        await two.ann.call(vms.HAND_OVER, body=HandOver(tenant="red", owner="rob"), vm_id=vm.id)
    await limit(owner_url, max_vms=None)
    await succeeded(
        two.server, await two.ann.call(vms.HAND_OVER, body=HandOver(tenant="red", owner="rob"), vm_id=vm.id)
    )
    assert (await two.rob.call(quotas.GET)).vms.used == 1
    assert (await two.bob.call(quotas.GET)).vms.used == 0


@pytest.mark.parametrize("owner", ["rob", "cid"])
async def test_refused_handover_tells_nothing_of_the_other_tenant(two: TwoTenants, owner_url: str, owner: str) -> None:
    """Its operation and its entry in the audit log are read by the tenant that keeps the VM."""
    vm = await vm_of(two, two.bob)
    await limit(owner_url, max_vms=0)
    with pytest.raises(errors.NovaCronError):
        await two.ann.call(vms.HAND_OVER, body=HandOver(tenant="red", owner=owner), vm_id=vm.id)
    options = vms.BulkOptions(tenant="red", owner=owner)
    bulk = await two.ann.call(vms.BULK, body=vms.BulkRequest(action="hand-over", ids=[vm.id], options=options))
    await two.server.ended(bulk)
    await two.server.parts.audit.refusals.write()
    seen = [
        (await two.bob.call(operations.GET, operation_id=bulk.id)).problem,
        *(await two.bob.call(operations.CHILDREN, operation_id=bulk.id, query=ListQuery())).items,
        *(await two.bob.call(stored_events.LIST, query=stored_events.EventQuery())).items,
        *(await two.olga.call(audit.LIST, query=audit.AuditQuery(q="user:ann"))).items,
    ]
    assert "new tenant" in str(seen)
    assert "tenant red" not in str(seen) and "quota of 0" not in str(seen)


async def test_unmanaged_vm_is_adopted_and_released_again(
    two: TwoTenants, libvirt_connection: libvirt.virConnect
) -> None:
    vm = await two.server.vm("test")
    assert vm.unmanaged
    with pytest.raises(errors.Forbidden):
        await two.olga.call(vms.ADOPT, body=Adopt(tenant="default"), vm_id=vm.id)
    with pytest.raises(errors.ValidationFailed, match="cid is not a member of the tenant red"):
        await two.ann.call(vms.ADOPT, body=Adopt(tenant="red", owner="cid"), vm_id=vm.id)
    await succeeded(two.server, await two.ann.call(vms.ADOPT, body=Adopt(tenant="red", owner="rob"), vm_id=vm.id))
    (seen,) = (await two.rob.call(vms.LIST)).items
    assert (seen.id, seen.owner, seen.unmanaged, seen.state) == (vm.id, "rob", False, vm.state)
    assert 'tenant="red"' in tag_of(libvirt_connection, vm)
    assert (await two.rob.call(quotas.GET)).vcpus.used == vm.vcpus
    with pytest.raises(errors.Conflict, match="test is managed already"):
        await two.ann.call(vms.ADOPT, body=Adopt(tenant="default"), vm_id=vm.id)
    await succeeded(two.server, await two.ann.call(vms.RELEASE, vm_id=vm.id))
    assert (await two.rob.call(vms.LIST)).total == 0
    assert (await two.server.vm("test")).unmanaged
    assert tag_of(libvirt_connection, vm) == ""
    with pytest.raises(errors.Conflict, match="test is unmanaged"):
        await two.ann.call(vms.RELEASE, vm_id=vm.id)


async def test_released_vm_keeps_its_disk(two: TwoTenants, libvirt_connection: libvirt.virConnect) -> None:
    vm = await vm_of(two, two.bob)
    disk = next(volume for volume in (await two.bob.call(volumes.LIST)).items if volume.vm == vm.id)
    await succeeded(two.server, await two.ann.call(vms.RELEASE, vm_id=vm.id))
    stays = await volume_named(two.server, disk.name)
    assert (stays.unmanaged, stays.vm) == (True, vm.id)
    assert (await two.bob.call(volumes.LIST)).total == 0
    await succeeded(two.server, await two.ann.call(vms.ADOPT, body=Adopt(tenant="default", owner="bob"), vm_id=vm.id))
    again = await volume_named(two.server, disk.name)
    assert (again.unmanaged, again.owner, again.format) == (False, "bob", disk.format)


async def test_volume_is_handed_over_alone_when_no_vm_has_it(two: TwoTenants) -> None:
    volume = await made_volume(two.server, "data-01", tier="cold")
    body = HandOver(tenant="red", owner="rob")
    await succeeded(two.server, await two.ann.call(volumes.HAND_OVER, body=body, volume_id=volume.id))
    (seen,) = (await two.rob.call(volumes.LIST)).items
    assert (seen.id, seen.owner) == (volume.id, "rob")
    entries = (await two.ann.call(audit.LIST, query=audit.AuditQuery(q="action:volume.hand-over"))).items
    assert {each.tenant for each in entries} == {"default", "red"}
    vm = await create_vm(two.server, start=False)
    disk = next(v for v in (await two.ann.call(volumes.LIST)).items if v.vm == vm.id)
    with pytest.raises(errors.Conflict, match="is attached to a VM: hand over the VM"):
        await two.ann.call(volumes.HAND_OVER, body=HandOver(owner="bob"), volume_id=disk.id)


async def test_foreign_and_missing_objects_answer_alike(two: TwoTenants) -> None:
    vm = await vm_of(two, two.bob)
    answers = set()
    for vm_id in (vm.id, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(errors.NotFound) as refused:
            await two.rob.call(vms.HAND_OVER, body=HandOver(owner="rob"), vm_id=vm_id)
        answers.add(refused.value.detail)
    assert len(answers) == 1


async def test_handover_that_libvirt_refuses_is_undone(two: TwoTenants, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = await vm_of(two, two.bob)

    async def refuse(*_: object) -> None:
        raise errors.Conflict("the definition is read-only")

    monkeypatch.setattr(two.server.parts.inventory.host(vm.host), "set_tag", refuse)
    body = HandOver(tenant="red", owner="rob")
    ended = await two.server.ended(await two.ann.call(vms.HAND_OVER, body=body, vm_id=vm.id))
    assert ended.state is OperationState.FAILED
    now = await two.server.vm("web-01")
    assert (now.tenant, now.owner) == ("default", "bob")
    assert (await two.rob.call(vms.LIST)).total == 0


async def test_idempotency_key_does_not_lead_back_into_a_tenant_that_was_left(two: TwoTenants, owner_url: str) -> None:
    body = vms.VMCreate(name="web-01", image="empty", memory_bytes=32 * MIB, start=False)
    first = await two.bob.call(vms.CREATE, body=body, idempotency_key="once")
    await succeeded(two.server, first)
    await put_into(owner_url, "bob", "red", Role.OPERATOR)
    await two.bob.sign_in("bob", PASSWORD)
    second = await two.bob.call(vms.CREATE, body=body, idempotency_key="once")
    assert second.tenant == "red"
    assert second.target.id != first.target.id
    assert (await two.bob.call(vms.CREATE, body=body, idempotency_key="once")).id == second.id
