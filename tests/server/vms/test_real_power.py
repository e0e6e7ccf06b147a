"""Power actions on real guests: each ends when its effect was seen, or with the reason why it was not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]
import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import operations, vms
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import VM, State
from novacron_server.vms.procedures import power
from tests.support.busy_guest import Serial
from tests.support.storage import StorageServer
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [pytest.mark.qemu, pytest.mark.asyncio(loop_scope="module")]
SCRIPT = """
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
cat > /agent <<'END'
exec 3<>$1
while read -r line <&3; do
    id=${line##*:}
    case $line in *guest-sync*) echo "{\\"return\\": ${id%%\\}*}}" >&3 ;; esac
done
END
echo READY
while :; do
    read line
    case $line in
        reboot) reboot -f ;;
        off) poweroff -f ;;
        agent) for port in /dev/vport*; do sh /agent $port & done; echo LISTENS ;;
    esac
done
"""
"""A guest that ignores its power button, and does what is typed on its console. Its agent answers libvirt's greeting only."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(storage: StorageServer) -> AsyncIterator[tuple[VM, Serial]]:
    await asyncio.to_thread(add_image, storage.server.data_dir / "images", "typed", SCRIPT)
    vm = await started(storage, "typed", "typed")
    serial = await asyncio.to_thread(_console, storage, vm)
    await asyncio.to_thread(_ready, storage, vm, serial)
    yield vm, serial
    serial.close()


def _console(storage: StorageServer, vm: VM) -> Serial:
    return Serial(storage.daemon.uri, vm.name)


def _ready(storage: StorageServer, vm: VM, serial: Serial) -> None:
    """Wait until the guest listens. What it said before the console was opened is lost: then it boots again."""
    if "READY" not in serial.text:
        storage.libvirt.lookupByUUIDString(vm.id).reset(0)
    serial.see("READY")


async def step(storage: StorageServer, operation_id: str, text: str) -> None:
    """Wait until the operation reports this step."""

    async def reported() -> bool | None:
        now = await storage.admin.call(operations.GET, operation_id=operation_id)
        return True if text in now.step else None

    await until(reported)


async def test_restart_ends_when_the_guest_has_restarted(storage: StorageServer, guest: tuple[VM, Serial]) -> None:
    vm, serial = guest
    before = (await storage.server.vm(vm.name)).booted_at
    assert before is not None
    operation = await storage.admin.call(vms.RESTART, vm_id=vm.id)
    await step(storage, operation.id, "asked the guest to restart")
    now = await storage.admin.call(operations.GET, operation_id=operation.id)
    assert (now.state, now.step) == (OperationState.RUNNING, "asked the guest to restart")
    serial.text = ""
    serial.type("reboot")
    await storage.succeeded(operation)
    booted_at = (await storage.server.vm(vm.name)).booted_at
    assert booted_at is not None
    assert booted_at > before
    await asyncio.to_thread(serial.see, "READY")


async def test_restart_that_the_guest_ignores_fails_and_says_what_to_do(
    storage: StorageServer, guest: tuple[VM, Serial], monkeypatch: pytest.MonkeyPatch
) -> None:
    vm, _ = guest
    before = (await storage.server.vm(vm.name)).booted_at
    monkeypatch.setattr(power, "GUEST_TIMEOUT_S", 1.0)
    ended = await storage.ended(await storage.admin.call(vms.RESTART, vm_id=vm.id))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert ended.problem.detail == "not confirmed: the guest has not restarted within 1 s: reset it"
    assert (await storage.server.vm(vm.name)).booted_at == before


async def test_reset_replaces_a_restart_that_the_guest_ignores(
    storage: StorageServer, guest: tuple[VM, Serial]
) -> None:
    vm, serial = guest
    restart = await storage.admin.call(vms.RESTART, vm_id=vm.id)
    await step(storage, restart.id, "asked the guest to restart")
    serial.text = ""
    await storage.succeeded(await storage.admin.call(vms.RESET, vm_id=vm.id))
    assert (await storage.ended(restart)).state is OperationState.CANCELLED
    await asyncio.to_thread(serial.see, "READY")


async def test_agent_that_does_not_respond_delays_no_shutdown(storage: StorageServer, guest: tuple[VM, Serial]) -> None:
    vm, serial = guest
    serial.text = ""
    serial.type("agent")
    await asyncio.to_thread(serial.see, "LISTENS")

    async def agent_connected() -> bool | None:
        return True if (await storage.server.vm(vm.name)).guest_agent else None

    await until(agent_connected)
    # libvirt waits a minute for this agent: a call that waits with it would end neither in time nor well.
    operation = await storage.admin.call(vms.STOP, vm_id=vm.id, query=vms.StopQuery(force_after_s=5))
    await step(storage, operation.id, "asked the guest to shut down")
    assert storage.libvirt.lookupByUUIDString(vm.id).isActive()
    await storage.succeeded(operation)
    assert (await storage.server.vm(vm.name)).state is State.STOPPED
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))


async def test_reset_lets_a_crashed_guest_run(storage: StorageServer, guest: tuple[VM, Serial]) -> None:
    vm, _ = guest
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    # Writes to the panic device's port, as a guest's kernel does when it panics.
    libvirt_qemu.qemuMonitorCommand(domain, "o/b 0x505 1", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    await _in_state(storage, vm, State.CRASHED)
    assert (await storage.server.vm(vm.name)).preserved
    with pytest.raises(errors.Conflict, match="still holds its memory"):
        await storage.admin.call(vms.ACKNOWLEDGE, vm_id=vm.id)
    await storage.succeeded(await storage.admin.call(vms.RESET, vm_id=vm.id))
    assert (await storage.server.vm(vm.name)).state is State.RUNNING


async def test_vm_that_was_paused_when_its_memory_was_saved_can_be_resumed(
    storage: StorageServer, guest: tuple[VM, Serial]
) -> None:
    vm, _ = guest
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    await storage.succeeded(await storage.admin.call(vms.PAUSE, vm_id=vm.id))
    await asyncio.to_thread(domain.managedSave, 0)
    await _in_state(storage, vm, State.SAVED)
    started = await storage.ended(await storage.admin.call(vms.START, vm_id=vm.id))
    assert started.problem is not None
    assert "has started, but is paused" in started.problem.detail
    await _in_state(storage, vm, State.PAUSED)
    assert domain.state()[1] == libvirt.VIR_DOMAIN_PAUSED_MIGRATION, "libvirt's reason stays, without a migration"
    await storage.succeeded(await storage.admin.call(vms.RESUME, vm_id=vm.id))
    assert (await storage.server.vm(vm.name)).state is State.RUNNING


async def test_saved_memory_that_cannot_be_read_is_discarded(storage: StorageServer, guest: tuple[VM, Serial]) -> None:
    vm, _ = guest
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    await asyncio.to_thread(domain.managedSave, 0)
    await _in_state(storage, vm, State.SAVED)
    saved = next(storage.daemon.folder.rglob(f"save/{vm.name}.save"))
    with saved.open("r+b") as file:  # its header stays whole
        file.seek(256 << 10)
        file.write(os.urandom(512 << 10))
    ended = await storage.ended(await storage.admin.call(vms.START, vm_id=vm.id))
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert "If its saved memory cannot be read, discard it" in ended.problem.detail
    await _in_state(storage, vm, State.SAVED)
    aside = saved.rename(saved.with_suffix(".aside"))
    saved.mkdir()  # which libvirt cannot delete as a file
    kept = await storage.ended(await storage.admin.call(vms.DISCARD_SAVED, vm_id=vm.id))
    assert (kept.state, kept.problem is not None) == (OperationState.FAILED, True)
    assert kept.problem is not None
    assert kept.problem.detail.startswith(
        f"the saved memory of {vm.name} is still there: cannot discard the saved memory"
    )
    assert kept.problem.detail.endswith("can delete the files of its save directory, then discard it again")
    saved.rmdir()
    aside.rename(saved)
    await storage.succeeded(await storage.admin.call(vms.DISCARD_SAVED, vm_id=vm.id))
    assert (await storage.server.vm(vm.name)).state is State.FAILED  # it failed to start, and is off
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    assert (await storage.server.vm(vm.name)).state is State.RUNNING


async def test_guest_that_shuts_down_instead_of_restarting(storage: StorageServer, guest: tuple[VM, Serial]) -> None:
    vm, _ = guest
    restart = await storage.admin.call(vms.RESTART, vm_id=vm.id)
    await step(storage, restart.id, "asked the guest to restart")
    await asyncio.to_thread(storage.libvirt.lookupByUUIDString(vm.id).destroy)
    ended = await storage.ended(restart)
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert ended.problem.detail == "the guest shut down instead of restarting: start it"


async def _in_state(storage: StorageServer, vm: VM, state: State) -> None:
    async def reached() -> bool | None:
        return True if (await storage.server.vm(vm.name)).state is state else None

    await until(reached)
