"""The consoles of real guests are logged from their first boot; what is no longer theirs is deleted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import console_logs, vms
from novacron_core.api.console_logs import ConsoleLog, ConsoleLogQuery
from novacron_core.api.vms import VM, State
from tests.support.busy_guest import Serial
from tests.support.storage import StorageServer
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
SCRIPT = """
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
echo "HELLO $(cat /proc/sys/kernel/random/boot_id) NOW"
while :; do
    read line
    case $line in reboot) reboot -f ;; *) echo "TYPED $line" ;; esac
done
"""
DEFINITION = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


def files(storage: StorageServer, vm_id: str) -> set[str]:
    return {path.name for path in (storage.daemon.folder / "log/qemu").glob(f"{vm_id}*")}


async def read(storage: StorageServer, vm: VM, **query: object) -> ConsoleLog:
    return await storage.admin.call(console_logs.READ, vm_id=vm.id, query=ConsoleLogQuery(**query))  # type: ignore[arg-type]


async def shows(storage: StorageServer, vm: VM, wanted: Callable[[ConsoleLog], bool], **query: object) -> ConsoleLog:
    async def reached() -> ConsoleLog | None:
        log = await read(storage, vm, **query)
        return log if wanted(log) else None

    return await until(reached, 150)


def boots(log: ConsoleLog) -> list[str]:
    return re.findall(r"HELLO (\S+) NOW", log.text)


async def started_guest(storage: StorageServer, name: str, cmdline: str = "console=ttyS0 quiet") -> VM:
    images = storage.server.data_dir / "images"
    await asyncio.to_thread(add_image, images, name, SCRIPT)
    (images / f"{name}.cmdline").write_text(cmdline)
    return await started(storage, name, name)


async def step_off(storage: StorageServer, vm: VM) -> None:
    await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=vm.id))


async def delete(storage: StorageServer, vm: VM) -> vms.VM | None:
    now = await storage.server.vm(vm.name)
    operation = await storage.admin.call(
        vms.DELETE, vm_id=vm.id, query=vms.DeleteQuery(disks=True), if_match=now.generation
    )
    await storage.succeeded(operation)
    return None


@pytest.mark.parametrize("cmdline", ["console=ttyS0 quiet", "console=ttyS0"])
async def test_log_begins_at_the_last_boot_and_goes_with_the_vm(storage: StorageServer, cmdline: str) -> None:
    name = "quiet" if "quiet" in cmdline else "loud"
    vm = await started_guest(storage, name, cmdline)
    first = await shows(storage, vm, lambda log: len(boots(log)) == 1, boot="last")
    assert (first.recorded, first.begins_at_boot, first.skipped_bytes) == (True, True, 0)
    assert first.at is not None
    cursor = first.next

    serial = await asyncio.to_thread(Serial, storage.daemon.uri, vm.name)
    serial.type("reboot")
    second = await shows(storage, vm, lambda log: boots(log) not in ([], boots(first)), boot="last")
    serial.close()
    assert second.begins_at_boot
    assert len(boots(second)) == 1, "the log of the boot before is not part of the last one"

    await step_off(storage, vm)
    off = await read(storage, vm, boot="last")
    assert boots(off) == boots(second), "a stopped VM's last boot is still the last one"
    await storage.succeeded(await storage.admin.call(vms.START, vm_id=vm.id))
    third = await shows(storage, vm, lambda log: boots(log) not in ([], boots(second)), boot="last")
    assert third.begins_at_boot
    assert len(boots(third)) == 1
    assert boots(await read(storage, vm)) == boots(first) + boots(second) + boots(third)
    followed = await read(storage, vm, from_=cursor)
    assert boots(followed) == boots(second) + boots(third), "a follower gets what came after its cursor, once"

    await step_off(storage, vm)
    assert files(storage, vm.id) == {f"{vm.id}.console"}
    (storage.daemon.folder / f"log/qemu/{vm.id}.console.0").write_text("rotated")
    await delete(storage, vm)
    assert files(storage, vm.id) == set()


async def test_log_that_cannot_be_deleted_fails_no_deletion(storage: StorageServer) -> None:
    vm = await storage.vm("undeletable")
    left = storage.daemon.folder / f"log/qemu/{vm.id}.console"
    left.mkdir()
    await delete(storage, vm)
    with pytest.raises(errors.NotFound):
        await storage.admin.call(vms.GET, vm_id=vm.id)
    assert left.is_dir()
    left.rmdir()


def _define(storage: StorageServer, name: str, devices: str) -> libvirt.virDomain:
    return storage.libvirt.defineXML(
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><metadata>"
        "<own:data xmlns:own='urn:own' own:x='1'>kept</own:data></metadata>"
        f"<os><type arch='x86_64'>hvm</type></os><devices>{devices}</devices></domain>"
    )


async def _unmanaged(storage: StorageServer, name: str) -> VM:
    async def listed() -> VM | None:
        return next((vm for vm in (await storage.admin.call(vms.LIST)).items if vm.name == name), None)

    return await until(listed)


def _without_console(text: str) -> str:
    for tag in ("serial", "console"):
        text = re.sub(rf"\s*<{tag} .*?</{tag}>", "", text, flags=re.DOTALL)
    return text


SECRET = "<graphics type='vnc' passwd='secret'><listen type='socket'/></graphics>"


@pytest.mark.parametrize(
    ("name", "devices", "kind"),
    [
        ("no-port", SECRET, "pty"),
        ("old", "<serial type='pty'/>" + SECRET, "pty"),
        ("socket", "<serial type='unix'><source mode='bind' path='/tmp/x.sock'/></serial>" + SECRET, "unix"),
    ],
)
async def test_unmanaged_vm_gets_what_it_lacks_and_keeps_all_else(
    storage: StorageServer, name: str, devices: str, kind: str
) -> None:
    domain = _define(storage, name, devices)
    try:
        vm = await _unmanaged(storage, name)
        before = domain.XMLDesc(DEFINITION)
        log = await read(storage, vm)
        assert (log.recorded, log.may_set_up, log.text) == (False, True, "")
        assert log.note == (
            f"{name} has no serial port" if name == "no-port" else f"the serial console of {name} is not logged"
        )
        await storage.succeeded(await storage.admin.call(console_logs.SET_UP, vm_id=vm.id))
        after = domain.XMLDesc(DEFINITION)
        assert _without_console(after) == _without_console(before)
        assert "passwd='secret'" in after
        assert after.count(f"<serial type='{kind}'>") == 1
        assert f"<log file='/var/log/libvirt/qemu/{vm.id}.console' append='on'/>" in after
        with pytest.raises(errors.Conflict, match="is set up, and logged"):
            await storage.admin.call(console_logs.SET_UP, vm_id=vm.id)
        assert (await read(storage, vm)).recorded
    finally:
        domain.undefine()


async def test_running_vm_is_logged_from_its_next_start(storage: StorageServer) -> None:
    domain = _define(storage, "later", "<serial type='pty'/>")
    try:
        domain.create()
        vm = await _unmanaged(storage, "later")
        await _in_state(storage, vm, State.RUNNING)
        await storage.succeeded(await storage.admin.call(console_logs.SET_UP, vm_id=vm.id))
        log = await read(storage, vm)
        assert (log.recorded, log.may_set_up) == (False, False)
        assert log.note == "the serial console of later is not logged yet: it will be from its next start on"
        domain.destroy()
        domain.create()
        assert (await shows(storage, vm, lambda log: log.recorded)).note == ""
    finally:
        domain.destroy()
        domain.undefine()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/shadow", "outside of libvirt's log folder"),
        ("/var/log/libvirt/qemu/../../../../etc/shadow", "outside of libvirt's log folder"),
        ("/var/log/libvirt/qemu/5a3b1c7e-2f7d-4e0a-9a56-0c5d7f3f2b11.console", "that of another VM"),
        ("/var/log/libvirt/qemu/evil.log", "the one that QEMU writes"),
        ("/var/log/libvirt/qemu/link", "is a link"),
    ],
)
async def test_definition_cannot_make_the_server_read_other_files(storage: StorageServer, path: str, why: str) -> None:
    link = storage.daemon.folder / "log/qemu/link"
    if not link.is_symlink():
        link.symlink_to("/etc/shadow")
    domain = _define(storage, "evil", f"<serial type='pty'><log file='{path}'/></serial>")
    try:
        log = await read(storage, await _unmanaged(storage, "evil"))
        assert (log.recorded, log.text) == (False, "")
        assert why in log.note
    finally:
        domain.undefine()

        async def gone() -> bool | None:
            return None if any(vm.name == "evil" for vm in (await storage.admin.call(vms.LIST)).items) else True

        await until(gone)


async def test_old_text_of_a_uuid_is_never_shown(storage: StorageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = "1f0c7a52-9d3e-4c6f-8a11-3b9d2e4f5a60"
    old = storage.daemon.folder / f"log/qemu/{uuid}.console"
    old.write_text("the old VM's password")
    monkeypatch.setattr("novacron_server.vms.service.uuid4", lambda: uuid)
    vm = await storage.vm("again")
    monkeypatch.undo()
    assert vm.id == uuid
    assert not old.exists()
    log = await read(storage, vm)
    assert (log.recorded, log.text, log.size_bytes) == (True, "", 0)
    await delete(storage, vm)


async def _in_state(storage: StorageServer, vm: VM, state: State) -> None:
    async def reached() -> bool | None:
        return True if (await storage.server.vm(vm.name)).state is state else None

    await until(reached)
