"""A QEMU that dies is a crash, which survives restarts of libvirtd and of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import stored_events, vms
from novacron_core.api.base import Page
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import State
from novacron_core.values.roles import Role
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.real_guests import created, die, in_states, served
from tests.support.server import ServerWithDatabase
from tests.support.waiting import until

pytestmark = pytest.mark.qemu
UNMANAGED = """
<domain type='qemu'><name>others</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>
"""


async def kept(server: ServerWithDatabase, *names: str) -> None:
    """Wait until the crashes of these VMs are stored."""

    async def stored() -> bool | None:
        state = server.parts.inventory.state
        return (
            True if {state.known[key].facts.name for key in state.crashes if key in state.known} == {*names} else None
        )

    await until(stored)


def libvirt_says(daemon: PrivateLibvirtd, name: str) -> tuple[int, int]:
    connection = libvirt.open(daemon.uri)
    try:
        state, reason = connection.lookupByName(name).state()
        return state, reason
    finally:
        connection.close()


def define_unmanaged(daemon: PrivateLibvirtd) -> None:
    connection = libvirt.open(daemon.uri)
    connection.defineXML(UNMANAGED).create()
    connection.close()


@pytest.mark.usefixtures("image")
async def test_crash_of_qemu_survives_restarts_until_it_is_acknowledged_or_the_vm_runs(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    daemon = libvirtd_named("dies")
    names = ("web", "db", "late")
    crashed = dict.fromkeys(("web", "db", "others"), State.CRASHED)
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres:
        async with served(postgres, data_dir, daemon.uri) as server:
            for name in names:
                ended = await server.ended(await until(partial(created, server, name), 60))
                assert ended.state is OperationState.SUCCEEDED, ended.problem
            define_unmanaged(daemon)
            await in_states(server, others=State.RUNNING, **dict.fromkeys(names, State.RUNNING))
            for name in crashed:
                die(daemon, name)
            found = await in_states(server, late=State.RUNNING, **crashed)
            assert {vm.reason for vm in found.values() if vm.state is State.CRASHED} == {"ended unexpectedly"}
            seen = await server.admin.call(vms.CRASH, vm_id=found["web"].id)
            assert seen.log_note == ""
            assert seen.log[-1].endswith("shutting down, reason=crashed")
            assert not [line for line in seen.log if "qemu-system" in line or "PATH=" in line]
            viewer = await server.member("vera", Role.VIEWER)
            hidden = await viewer.call(vms.CRASH, vm_id=found["web"].id)
            assert (hidden.reason, hidden.at, hidden.log) == (seen.reason, seen.at, [])
            assert "only administrators" in hidden.log_note
            at = found["web"].state_since
            assert at is not None
            await kept(server, *crashed)
            daemon.kill()
            daemon.start()
            crash, off = libvirt.VIR_DOMAIN_SHUTOFF_CRASHED, libvirt.VIR_DOMAIN_SHUTOFF

            async def forgotten() -> bool | None:
                await server.parts.inventory.refresh_vm(found["web"].host, found["web"].id)
                facts = server.parts.inventory.state.known[found["web"].host, found["web"].id].facts
                return True if facts.state is State.STOPPED else None

            await until(lambda: _when_up(forgotten), 60)
            assert libvirt_says(daemon, "web") == (off, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN), "libvirt has forgotten"
            await in_states(server, late=State.RUNNING, **crashed)
        die(daemon, "late")  # while no server runs
        await until(lambda: _off(daemon, "late"))
        assert libvirt_says(daemon, "late") == (off, crash)
        async with served(postgres, data_dir, daemon.uri) as server:
            found = await in_states(server, late=State.CRASHED, **crashed)
            assert found["web"].state_since == at
            assert found["late"].state_since is None
            await kept(server, "late", *crashed)
            for name in ("web", "others"):
                acknowledged = await server.admin.call(vms.ACKNOWLEDGE, vm_id=found[name].id)
                assert (await server.ended(acknowledged)).state is OperationState.SUCCEEDED
            started = await server.admin.call(vms.START, vm_id=found["db"].id)
            assert (await server.ended(started)).state is OperationState.SUCCEEDED
            now = {"web": State.STOPPED, "others": State.STOPPED, "db": State.RUNNING, "late": State.CRASHED}
            await in_states(server, **now)
        async with served(postgres, data_dir, daemon.uri) as server:
            found = await in_states(server, **now)
            assert found["web"].reason == "crash acknowledged by ann"
            assert (await server.admin.call(vms.GET, vm_id=found["late"].id)).reason == "ended unexpectedly"


@pytest.mark.usefixtures("image")
async def test_crash_of_a_transient_vm_is_kept_until_it_is_acknowledged(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    """libvirt forgets such a VM at once. One that ends as it should is gone."""
    daemon = libvirtd_named("forgets")
    async with EmbeddedPostgres(data_dir, data_dir / "r", durable=False) as postgres:
        async with served(postgres, data_dir, daemon.uri) as server:
            create_transient(daemon, "dies", "ends", "again")
            await in_states(server, dies=State.RUNNING, ends=State.RUNNING, again=State.RUNNING)
            die(daemon, "dies")
            die(daemon, "again")
            destroy(daemon, "ends")
            found = await in_states(server, dies=State.CRASHED, again=State.CRASHED)
            await until(lambda: _names(server, "dies", "again"))
            vm = found["dies"]
            assert (vm.reason, vm.transient, vm.unmanaged) == ("ended unexpectedly", True, True)
            assert vm.state_since is not None
            query = stored_events.EventQuery(q="state:crashed target:dies")
            (event,) = (await until(lambda: _listed(server, query))).items
            assert (event.type, event.before, event.after) == ("vm.crashed", "running", "crashed")
            assert (event.reason, event.priority) == ("ended unexpectedly", "critical")
            for call in (vms.START, vms.POWER_OFF):
                with pytest.raises(errors.Conflict, match=r"dies is gone since its crash.*acknowledge the crash"):
                    await server.admin.call(call, vm_id=vm.id)
            await report_a_death_late(server, daemon, vm.host)
            await until(lambda: _kept(server, 3))
        async with served(postgres, data_dir, daemon.uri) as server:
            found = await in_states(server, dies=State.CRASHED, again=State.CRASHED, late=State.CRASHED)
            assert found["dies"].state_since == vm.state_since
            seen = await server.admin.call(vms.CRASH, vm_id=vm.id)
            assert (seen.at, seen.reason) == (vm.state_since, "ended unexpectedly")
            assert seen.log[-1].endswith("shutting down, reason=crashed")
            acknowledged = await server.ended(await server.admin.call(vms.ACKNOWLEDGE, vm_id=vm.id))
            assert acknowledged.state is OperationState.SUCCEEDED, acknowledged.problem
            with pytest.raises(errors.NotFound):
                await server.admin.call(vms.GET, vm_id=vm.id)
            create_transient(daemon, "again", uuid=found["again"].id)
            await in_states(server, again=State.RUNNING)
            await until(lambda: _kept(server, 1))
            destroy(daemon, "again")
            await until(lambda: _names(server, "late"))


async def report_a_death_late(server: ServerWithDatabase, daemon: PrivateLibvirtd, host_id: str) -> None:
    """The server finds that the VM is gone before libvirt reports why."""

    class Withheld(Counter[str]):
        released = False

        def __getitem__(self, vm_id: str) -> int:
            return super().__getitem__(vm_id) if self.released else 0

    create_transient(daemon, "late")
    vm = (await in_states(server, dies=State.CRASHED, again=State.CRASHED, late=State.RUNNING))["late"]
    host = server.parts.inventory.host(host_id)
    host.deaths = deaths = Withheld(host.deaths)
    die(daemon, "late")
    await until(lambda: _names(server, "dies", "again"))
    deaths.released = True
    await server.parts.inventory.refresh_vm(host_id, vm.id)
    await in_states(server, dies=State.CRASHED, again=State.CRASHED, late=State.CRASHED)


def create_transient(daemon: PrivateLibvirtd, *names: str, uuid: str = "") -> None:
    connection = libvirt.open(daemon.uri)
    for name in names:
        connection.createXML(UNMANAGED.replace("others</name>", f"{name}</name>{f'<uuid>{uuid}</uuid>' * bool(uuid)}"))
    connection.close()


def destroy(daemon: PrivateLibvirtd, name: str) -> None:
    connection = libvirt.open(daemon.uri)
    connection.lookupByName(name).destroy()
    connection.close()


async def _names(server: ServerWithDatabase, *names: str) -> bool | None:
    return {vm.name for vm in (await server.admin.call(vms.LIST)).items} == {*names} or None


async def _listed(
    server: ServerWithDatabase, query: stored_events.EventQuery
) -> Page[stored_events.StoredEvent] | None:
    found = await server.admin.call(stored_events.LIST, query=query)
    return found if found.total else None


async def _kept(server: ServerWithDatabase, count: int) -> bool | None:
    found = await server.parts.database.run(lambda c: c.exec_driver_sql("SELECT count(*) FROM crashes"))
    return found.scalar_one() == count or None


async def _when_up(probe: Callable[[], object]) -> bool | None:
    try:
        return await probe()  # type: ignore[misc, no-any-return]
    except errors.HostUnavailable:
        return None


async def _off(daemon: PrivateLibvirtd, name: str) -> bool | None:
    return True if libvirt_says(daemon, name)[0] == libvirt.VIR_DOMAIN_SHUTOFF else None
