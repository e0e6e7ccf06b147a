"""The reconciler removes leftovers of this installation and nothing else (G3)."""

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
from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VMCreate
from novacron_server.hypervisor.facts import OwnershipTag
from tests.support.server import LiveServer
from tests.support.waiting import until

BODY = VMCreate(name="web-01", image="empty", memory_bytes=32 << 20, start=False)


async def refresh_vm(server: LiveServer) -> None:
    await next(iter(server.parts.inventory._syncs.values()))._read_all()
    await server.parts.inventory.publisher.flush()


async def test_vm_deleted_outside_novacron_is_removed_at_the_second_pass(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    libvirt_connection.lookupByName("web-01").undefine()
    await refresh_vm(server)
    await server.parts.reconciler.once()
    assert len(server.parts.inventory.state.rows) == 1
    await server.parts.reconciler.once()
    disks = [v for v in (await server.admin.call(volumes.LIST)).items if v.name.startswith("web-01")]
    assert [(disk.vm, disk.tenant) for disk in disks] == [(None, "default")]
    again = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    assert again.state is OperationState.SUCCEEDED


async def define_late(
    server: LiveServer, libvirt_connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch, instance: str
) -> str:
    """Fail a creation, then define its VM, as a libvirt call that timed out would. Returns the VM's id."""
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    operation = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    assert operation.state is OperationState.FAILED
    host = server.parts.inventory.host(next(iter(server.parts.inventory.state.views)))
    libvirt_connection.defineXML(
        f"<domain type='test'><name>late</name><uuid>{operation.target.id}</uuid><memory>8192</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    await host.set_tag(operation.target.id, OwnershipTag(instance=instance, tenant="default", operation=operation.id))
    await refresh_vm(server)
    return operation.target.id


async def test_late_definition_of_a_failed_creation_is_removed(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = await server.parts.database.run(
        lambda c: _scalar(c, "SELECT value #>> '{}' FROM settings WHERE key = 'instance'")
    )
    vm_id = await define_late(server, libvirt_connection, monkeypatch, instance)
    assert server.parts.inventory.state.vm(vm_id) is not None
    await server.parts.reconciler.once()
    assert server.parts.inventory.state.vm(vm_id) is None


@pytest.mark.parametrize("instance", ["00000000-0000-0000-0000-000000000001"])
async def test_vm_of_another_installation_is_left_alone(
    server: LiveServer,
    image: str,
    libvirt_connection: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
    instance: str,
) -> None:
    vm_id = await define_late(server, libvirt_connection, monkeypatch, instance)
    await server.parts.reconciler.once()
    vm = server.parts.inventory.state.vm(vm_id)
    assert vm is not None
    assert vm.unmanaged


async def test_volumes_of_a_failed_creation_are_removed_and_others_kept(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=error")
    operation = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    host_id = next(iter(server.parts.inventory.state.views))
    host = server.parts.inventory.host(host_id)
    pool = next(p for p in await host.storage.read_pools() if p.name.endswith("-hot"))
    from novacron_server.hypervisor.specs import VolumeSpec

    late = f"web-01-{operation.target.id[:8]}.qcow2"
    for name in (late, "unmanaged.qcow2"):
        await host.storage.create_volume(VolumeSpec(pool=pool.name, name=name, size_bytes=1 << 20))
    await server.parts.inventory.refresh_volumes(host_id)
    await server.parts.reconciler.once()
    names = {v.name for v in (await server.admin.call(volumes.LIST)).items}
    assert late not in names
    assert "unmanaged.qcow2" in names


async def _has_no_rows(server: LiveServer) -> bool | None:
    return None if server.parts.inventory.state.rows else True


async def _scalar(connection: Any, statement: str) -> str:
    value = (await connection.execute(text(statement))).scalar_one()
    return value if isinstance(value, str) else msgspec.json.decode(value)


async def test_error_on_one_host_does_not_stop_the_others(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    reconciler, state = server.parts.reconciler, server.parts.inventory.state
    view = next(iter(state.views.values()))
    bad = dataclasses.replace(view, id="bad")
    monkeypatch.setattr(state, "views", {"bad": bad, view.id: view})
    monkeypatch.setattr(server.parts.inventory, "host", lambda host_id: SimpleNamespace(host_id=host_id, name=host_id))
    compared = []

    async def compare(host: Any, _failed: Any) -> None:
        compared.append(host.host_id)
        if host.host_id == "bad":
            raise errors.Conflict("its volume is in use")

    monkeypatch.setattr(reconciler, "_remove_late_domains", compare)
    await reconciler.once()
    assert compared == ["bad", view.id]


@pytest.mark.parametrize("failing", ["", "vm.create:defined=error"], ids=["succeeded", "failed after it was defined"])
async def test_reappeared_vm_keeps_its_owner(
    server: LiveServer,
    image: str,
    libvirt_connection: libvirt.virConnect,
    monkeypatch: pytest.MonkeyPatch,
    failing: str,
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", failing)
    await server.ended(await server.admin.call(vms.CREATE, body=msgspec.structs.replace(BODY, tags={"role": "web"})))
    monkeypatch.delenv("NOVACRON_FAILPOINTS")
    await refresh_vm(server)
    vm = await server.vm("web-01")
    domain = libvirt_connection.lookupByName("web-01")
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain.undefine()
    await refresh_vm(server)
    for _ in range(2):
        await server.parts.reconciler.once()
    await until(lambda: _has_no_rows(server))
    libvirt_connection.defineXML(text)
    await refresh_vm(server)
    await server.parts.reconciler.once()

    async def managed_again() -> vms.VM | None:
        found = await server.vm("web-01")
        return None if found.unmanaged else found

    now = await until(managed_again)
    assert (now.tenant, now.owner, now.tags, now.tier) == (vm.tenant, vm.owner, {"role": "web"}, vm.tier)
    query = vms.DeleteQuery(disks=True)
    operation = await server.admin.call(vms.DELETE, query=query, if_match=now.generation, vm_id=now.id)
    assert (await server.ended(operation)).state is OperationState.SUCCEEDED
    assert not [v for v in (await server.admin.call(volumes.LIST)).items if v.name.startswith("web-01")]


async def renamed_vm(server: LiveServer, libvirt_connection: libvirt.virConnect) -> Operation:
    """The creation of web-01, which is called db-01 now."""
    created = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    domain = libvirt_connection.lookupByUUIDString(created.target.id)
    text = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    domain.undefine()
    libvirt_connection.defineXML(text.replace("<name>web-01</name>", "<name>db-01</name>"))
    await refresh_vm(server)
    return created


async def test_vm_renamed_outside_novacron_frees_its_old_name(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    created = await renamed_vm(server, libvirt_connection)
    await server.parts.reconciler.once()

    async def renamed() -> bool | None:
        rows = list(server.parts.inventory.state.rows.values())
        return True if [row.name for row in rows] == ["db-01"] else None

    await until(renamed)
    vm = await server.vm("db-01")
    assert (vm.id, vm.unmanaged) == (created.target.id, False)
    again = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    assert again.state is OperationState.SUCCEEDED


async def test_old_name_of_a_renamed_vm_is_free_before_the_reconciler_sees_it(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    created = await renamed_vm(server, libvirt_connection)
    again = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    assert again.state is OperationState.SUCCEEDED
    names = {row.id: row.name for row in server.parts.inventory.state.rows.values()}
    assert (names[created.target.id], names[again.target.id]) == ("db-01", "web-01")


async def test_step_that_is_refused_keeps_no_other_from_its_work(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = await server.ended(await server.admin.call(vms.CREATE, body=BODY))
    reconciler = server.parts.reconciler

    async def refuse(*_: object) -> None:
        raise errors.Conflict("the file cannot be deleted: Operation not permitted")

    for step in ("_remove_late_domains", "_remove_late_volumes"):
        monkeypatch.setattr(reconciler, step, refuse)
    monkeypatch.setattr(reconciler._reappeared, "restore", refuse)
    libvirt_connection.lookupByUUIDString(created.target.id).undefine()
    await refresh_vm(server)
    await reconciler.once()
    await reconciler.once()

    async def removed() -> bool | None:
        return True if not server.parts.inventory.state.rows else None

    await until(removed)
