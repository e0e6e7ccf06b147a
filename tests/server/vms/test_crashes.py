"""Crashed VMs on libvirt's test driver: shown until they run again or an operator acknowledges the crash."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import vms
from novacron_core.api.vms import VM, State, VMQuery
from novacron_core.values.roles import Role
from novacron_server.operations.context import CompletedAnyway
from novacron_server.vms import crashes, repository
from novacron_server.vms.procedures.acknowledge import AcknowledgeCrash
from tests.support.event_stream import open_stream
from tests.support.requests import create_vm, succeeded
from tests.support.server import LiveServer
from tests.support.waiting import until


async def crash(server: LiveServer, connection: libvirt.virConnect, name: str) -> VM:
    """Crash a simulated VM as libvirt does it, and wait until it is shown and stored."""
    dump = str(server.data_dir / "core")
    await asyncio.to_thread(connection.lookupByName(name).coreDump, dump, libvirt.VIR_DUMP_CRASH)
    Path(dump).unlink()
    vm = await in_state(server, name, State.CRASHED)
    await until(lambda: _stored(server, vm, True))
    return vm


async def in_state(server: LiveServer, name: str, state: State) -> VM:
    async def reached() -> VM | None:
        vm = await server.vm(name)
        return vm if vm.state is state else None

    return await until(reached)


async def _stored(server: LiveServer, vm: VM, there: bool) -> bool | None:
    return True if ((vm.host, vm.id) in server.parts.inventory.state.crashes) is there else None


@pytest.mark.parametrize("name", ["web-01", "test"], ids=["managed", "unmanaged"])
async def test_crashed_vm_is_shown_as_crashed_until_it_runs_again(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect, name: str
) -> None:
    await create_vm(server)
    async with open_stream(server) as stream:
        vm = await crash(server, libvirt_connection, name)
        event = await stream.event("vm.crashed")
        assert (event["note"], event["priority"]) == ("ended unexpectedly", "critical")
    assert (vm.reason, vm.preserved) == ("ended unexpectedly", False)
    assert vm.state_since is not None
    found = await server.admin.call(vms.LIST, query=VMQuery(q="state:crashed"))
    assert [item.name for item in found.items] == [name]
    await succeeded(server, await server.admin.call(vms.START, vm_id=vm.id))
    assert (await server.vm(name)).state is State.RUNNING
    await until(lambda: _stored(server, vm, False))


@pytest.mark.parametrize("name", ["web-01", "test"], ids=["managed", "unmanaged"])
async def test_acknowledged_crash_is_shown_as_stopped_and_the_next_one_is_new(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect, name: str
) -> None:
    await create_vm(server)
    vm = await crash(server, libvirt_connection, name)
    operation = await succeeded(server, await server.admin.call(vms.ACKNOWLEDGE, vm_id=vm.id))
    assert operation.kind == "vm.acknowledge"
    stopped = await server.vm(name)
    assert (stopped.state, stopped.reason) == (State.STOPPED, "crash acknowledged by ann")
    await server.parts.inventory.refresh_vm(vm.host, vm.id)  # libvirt still says that it crashed
    assert (await server.vm(name)).state is State.STOPPED
    with pytest.raises(errors.Conflict, match="has no crash to acknowledge"):
        await server.admin.call(vms.ACKNOWLEDGE, vm_id=vm.id)
    await asyncio.to_thread(libvirt_connection.lookupByName(name).create)
    await in_state(server, name, State.RUNNING)
    await crash(server, libvirt_connection, name)


async def test_acknowledgement_that_the_server_did_not_survive_is_completed_once(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    await create_vm(server)
    vm = await crash(server, libvirt_connection, "web-01")
    procedure = AcknowledgeCrash(server.parts.crashes)
    for actor in ("ann", "bob"):
        context: Any = SimpleNamespace(host_id=vm.host, target_id=vm.id, operation=SimpleNamespace(actor=actor))
        assert isinstance(await procedure.resume(context), CompletedAnyway)
    stopped = await server.vm("web-01")
    assert (stopped.state, stopped.reason) == (State.STOPPED, "crash acknowledged by ann")
    await succeeded(server, await server.admin.call(vms.START, vm_id=vm.id))
    assert "is running by now" in await procedure.resume(context)


async def test_crashed_vm_that_is_off_can_be_deleted(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    await create_vm(server)
    vm = await crash(server, libvirt_connection, "web-01")
    with pytest.raises(errors.Conflict, match="already off"):
        await server.admin.call(vms.POWER_OFF, vm_id=vm.id)
    await succeeded(server, await server.admin.call(vms.DELETE, if_match=vm.generation, vm_id=vm.id))
    await until(lambda: _stored(server, vm, False))
    with pytest.raises(errors.NotFound):
        await server.admin.call(vms.GET, vm_id=vm.id)


async def test_viewer_does_not_acknowledge_a_crash(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect
) -> None:
    await create_vm(server)
    vm = await crash(server, libvirt_connection, "web-01")
    viewer = await server.member("vera", Role.VIEWER)
    with pytest.raises(errors.Forbidden):
        await viewer.call(vms.ACKNOWLEDGE, vm_id=vm.id)
    assert (await server.vm("web-01")).state is State.CRASHED


async def test_crash_that_the_database_does_not_take_is_stored_later(
    server: LiveServer, image: str, libvirt_connection: libvirt.virConnect, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_vm(server)
    refused: list[str] = []
    put = repository.put_crash

    async def refuse_first(connection: object, row: object) -> None:
        if not refused:
            refused.append("once")
            raise errors.DatabaseUnavailable("not now")
        await put(connection, row)  # type: ignore[arg-type]

    monkeypatch.setattr(crashes, "_RETRY_S", 0.0)
    monkeypatch.setattr(repository, "put_crash", refuse_first)
    vm = await crash(server, libvirt_connection, "web-01")
    assert refused
    assert vm.state is State.CRASHED
