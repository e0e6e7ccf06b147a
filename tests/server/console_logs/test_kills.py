"""A server that is killed while it deletes a VM with its log, or gives one a serial port: it ends that when it is back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

import libvirt
import pytest
import pytest_asyncio

from novacron_core import errors
from novacron_core.api import console_logs, vms
from novacron_core.api.operations import Operation, OperationState
from tests.support.killable import KillableStorageServer, open_killable_server
from tests.support.libvirtd import require_private_libvirtd
from tests.support.waiting import until

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
OLD = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>32</memory>
<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='none'/></devices></domain>"""
DEFINITION = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killable() -> AsyncIterator[KillableStorageServer]:
    require_private_libvirtd()
    async with open_killable_server() as made:
        yield made


async def expect_completed(killable: KillableStorageServer, operation: Operation) -> None:
    ended = await killable.server.ended(operation)
    assert (ended.state, ended.completed) == (OperationState.INTERRUPTED, True), ended.problem


@pytest.mark.parametrize("place", ["undefined", "unlogged", "deleted"])
async def test_deletion_that_a_kill_interrupts_leaves_neither_vm_nor_log(
    killable: KillableStorageServer, place: str
) -> None:
    volume = await killable.create_volume(f"stays-{place}")
    vm = await killable.vm("goes")
    assert [name for _, name in killable.files() if name.startswith("goes")]
    log = killable.daemon.folder / f"log/qemu/{vm.id}.console"
    log.write_text("what it said")
    operation = await killable.crash_at(
        f"vm.delete:{place}",
        lambda: killable.admin.call(vms.DELETE, vm_id=vm.id, query=vms.DeleteQuery(disks=True), if_match=vm.generation),
        seen=volume.id,
    )
    assert log.exists() is (place == "undefined")
    await killable.start()
    await expect_completed(killable, operation)
    assert not log.exists()
    assert not [name for _, name in killable.files() if name.startswith("goes")]
    assert killable.libvirt.listAllDomains() == []
    assert (await killable.admin.call(vms.LIST)).total == 0
    with pytest.raises(errors.NotFound):
        await killable.admin.call(vms.GET, vm_id=vm.id)


@pytest.mark.parametrize("place", ["began", "done"])
async def test_serial_port_is_set_up_once_though_a_kill_interrupts_it(
    killable: KillableStorageServer, place: str
) -> None:
    volume = await killable.create_volume(f"seen-{place}")
    vm_id = str(uuid4())
    domain = killable.libvirt.defineXML(OLD.format(name=f"old-{place}", uuid=vm_id))
    old_log = killable.daemon.folder / f"log/qemu/{vm_id}.console"
    old_log.write_text("of another VM")

    async def listed() -> bool | None:
        return True if any(vm.id == vm_id for vm in (await killable.admin.call(vms.LIST)).items) else None

    await until(listed)
    key = str(uuid4())

    async def set_up() -> Operation:
        return await killable.admin.call(console_logs.SET_UP, idempotency_key=key, vm_id=vm_id)

    with suppress(errors.ServerUnreachable):  # it is killed before it has answered
        await killable.crash_at(f"vm.set-up-console:{place}", set_up, seen=volume.id)
    await until(killable.has_exited)
    assert ("<log file=" in domain.XMLDesc(DEFINITION)) is (place == "done")
    await killable.start()
    await expect_completed(killable, await set_up())
    after = domain.XMLDesc(DEFINITION)
    assert after.count("<serial type='pty'>") == 1
    assert after.count(f"<log file='/var/log/libvirt/qemu/{vm_id}.console' append='on'/>") >= 1
    assert not old_log.exists()
    with pytest.raises(errors.Conflict, match="is set up, and logged"):
        await killable.admin.call(console_logs.SET_UP, vm_id=vm_id)
    domain.undefine()
