"""No orphans, no kidnaps: what is ours and left over goes, what is somebody else's stays."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import libvirt
import msgspec
import pytest
from sqlalchemy import text

from novacron_core import errors
from novacron_core.api import vms, volumes
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import VMCreate
from novacron_server.hypervisor.facts import OwnershipTag
from tests.support.server import LiveServer
from tests.support.waiting import until

BODY = VMCreate(name="web-01", image="empty", memory_bytes=32 << 20, start=False)


async def refresh_vm(server: LiveServer) -> None:
    await next(iter(server.parts.inventory._syncs.values()))._read_all()
    await server.parts.inventory.publisher.flush()


async def test_a_vm_deleted_behind_our_back_goes_after_a_second_look_and_its_disk_stays(
    server: LiveServer, image: str, behind: libvirt.virConnect
) -> None:
    await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    behind.lookupByName("web-01").undefine()
    await refresh_vm(server)
    await server.parts.reconciler.once()
    assert len(server.parts.inventory.state.rows) == 1
    await server.parts.reconciler.once()
    disks = [v for v in (await server.admin.call(volumes.LIST)).items if v.name.startswith("web-01")]
    assert [(disk.vm, disk.tenant) for disk in disks] == [(None, "default")]
    again = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    assert again.state is OperationState.SUCCEEDED


async def late_definition(
    server: LiveServer, behind: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, instance: str
) -> str:
    """A creation that failed, and the definition that libvirt carried out all the same, afterwards."""
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    operation = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    assert operation.state is OperationState.FAILED
    host = server.parts.inventory.host(next(iter(server.parts.inventory.state.views)))
    behind.defineXML(
        f"<domain type='test'><name>late</name><uuid>{operation.target.id}</uuid><memory>8192</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    await host.set_tag(operation.target.id, OwnershipTag(instance=instance, tenant="default", operation=operation.id))
    await refresh_vm(server)
    return operation.target.id


async def test_a_late_definition_of_a_failed_creation_is_taken_back(
    server: LiveServer, image: str, behind: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await server.parts.database.run(
        lambda c: _scalar(c, "SELECT value #>> '{}' FROM settings WHERE key = 'instance'")
    )
    vm_id = await late_definition(server, behind, monkeypatch, instance)
    assert server.parts.inventory.state.vm(vm_id) is not None
    await server.parts.reconciler.once()
    assert server.parts.inventory.state.vm(vm_id) is None


@pytest.mark.parametrize("instance", ["00000000-0000-0000-0000-000000000001"])
async def test_what_bears_another_installations_mark_is_left_alone(
    server: LiveServer, image: str, behind: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, instance: str
) -> None:
    vm_id = await late_definition(server, behind, monkeypatch, instance)
    await server.parts.reconciler.once()
    vm = server.parts.inventory.state.vm(vm_id)
    assert vm is not None
    assert vm.unmanaged


async def test_volumes_of_a_failed_creation_go_and_others_stay(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    operation = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    host_id = next(iter(server.parts.inventory.state.views))
    host = server.parts.inventory.host(host_id)
    pool = next(p for p in await host.storage.read_pools() if p.name.endswith("-hot"))
    from novacron_server.hypervisor.specs import VolumeSpec

    late = f"web-01-{operation.target.id[:8]}.qcow2"
    for name in (late, "somebody-elses.qcow2"):
        await host.storage.create_volume(VolumeSpec(pool=pool.name, name=name, size_bytes=1 << 20))
    await server.parts.inventory.refresh_volumes(host_id)
    await server.parts.reconciler.once()
    left = {v.name for v in (await server.admin.call(volumes.LIST)).items}
    assert late not in left
    assert "somebody-elses.qcow2" in left


async def _forgotten(server: LiveServer) -> bool | None:
    return None if server.parts.inventory.state.rows else True


async def _scalar(connection: Any, statement: str) -> str:
    value = (await connection.execute(text(statement))).scalar_one()
    return value if isinstance(value, str) else msgspec.json.decode(value)


async def test_a_host_in_trouble_keeps_no_other_from_being_compared(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler, state = server.parts.reconciler, server.parts.inventory.state
    view = next(iter(state.views.values()))
    bad = dataclasses.replace(view, id="bad")
    monkeypatch.setattr(state, "views", {"bad": bad, view.id: view})
    monkeypatch.setattr(server.parts.inventory, "host", lambda host_id: SimpleNamespace(host_id=host_id, name=host_id))
    compared = []

    async def look(host: Any, _failed: Any) -> None:
        compared.append(host.host_id)
        if host.host_id == "bad":
            raise errors.Conflict("its volume is in use")

    monkeypatch.setattr(reconciler, "_remove_late_domains", look)
    await reconciler.once()
    assert compared == ["bad", view.id]


@pytest.mark.parametrize("failing", ["", "vm.create:defined=error"], ids=["made", "whole, though its creation failed"])
async def test_vms_that_libvirt_had_lost_for_a_while_are_whose_they_were(
    server: LiveServer, image: str, behind: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", failing)
    await server.ended(await server.admin.call(vms.CREATE, body=msgspec.structs.replace(BODY, tags={"role": "web"})))
    monkeypatch.delenv("NOVACRON_FAILPOINTS")
    await refresh_vm(server)
    vm = await server.vm("web-01")
    domain = behind.lookupByName("web-01")
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain.undefine()
    await refresh_vm(server)
    for _ in range(2):
        await server.parts.reconciler.once()
    await until(lambda: _forgotten(server))
    behind.defineXML(text)
    await refresh_vm(server)
    await server.parts.reconciler.once()

    async def back() -> vms.VM | None:
        found = await server.vm("web-01")
        return None if found.unmanaged else found

    now = await until(back)
    assert (now.tenant, now.owner, now.tags, now.tier) == (vm.tenant, vm.owner, {"role": "web"}, vm.tier)
    query = vms.DeleteQuery(disks=True)
    operation = await server.admin.call(vms.DELETE, query=query, if_match=now.generation, vm_id=now.id)
    assert (await server.ended(operation)).state is OperationState.SUCCEEDED
    assert not [v for v in (await server.admin.call(volumes.LIST)).items if v.name.startswith("web-01")]
