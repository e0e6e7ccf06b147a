"""The serial console of a real guest: followers, who types, and everything that can happen to the guest and its host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import libvirt
import pytest
import pytest_asyncio

from novacron_core.api import vms
from novacron_core.api.consoles import LineState
from novacron_core.api.vms import VM
from tests.support.busy_guest import Serial
from tests.support.consoles import SHELL, watching
from tests.support.storage import StorageServer
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [pytest.mark.qemu, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(storage: StorageServer) -> AsyncIterator[VM]:
    await asyncio.to_thread(add_image, storage.server.data_dir / "images", "shell", SHELL)
    vm = await started(storage, "tiny", "shell")
    yield vm


async def test_what_is_typed_reaches_the_guest_and_its_answer_every_follower(storage: StorageServer, guest: VM) -> None:
    async with watching(storage.admin, guest.id) as ann, watching(storage.admin, guest.id, write=False) as reader:
        await ann.prompt()
        await reader.see("ready-42")
        ann.console.type(b"echo sum-$((1000+337))\r")
        await ann.see("sum-1337")
        await reader.see("sum-1337")
        assert reader.writer_id == ann.console.follower


async def test_follower_who_comes_back_finds_what_was_printed_meanwhile(storage: StorageServer, guest: VM) -> None:
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
        ann.console.type(b"(sleep 2; echo later-$((70+7))) &\r")
        await ann.see("later-$((70+7))")
    await asyncio.sleep(4)
    async with watching(storage.admin, guest.id) as back:
        await back.see("later-77", 5)


async def test_second_writer_takes_over_by_the_name_of_the_first(storage: StorageServer, guest: VM) -> None:
    async with watching(storage.admin, guest.id) as ann, watching(storage.admin, guest.id) as bob:
        await ann.prompt()

        async def told() -> bool | None:
            return True if bob.writer_id == ann.console.follower else None

        await until(told)
        bob.console.type(b"echo not-typed\r")

        async def refused() -> bool | None:
            return True if any("types now: take over first" in problem for problem in bob.problems) else None

        await until(refused)
        bob.console.take("somebody else")
        bob.console.take(ann.console.follower)

        async def taken() -> bool | None:
            return True if ann.writer_id == bob.writer_id == bob.console.follower else None

        await until(taken)
        assert sum("types now" in problem for problem in bob.problems) == 2
        bob.console.type(b"echo took-$((5*5))\r")
        await ann.see("took-25")
        assert "not-typed" not in ann.text


async def test_console_comes_back_after_a_reset_and_after_a_power_off(storage: StorageServer, guest: VM) -> None:
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
        ann.text = ""
        await storage.succeeded(await storage.admin.call(vms.RESET, vm_id=guest.id))
        await ann.prompt()
        await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=guest.id))
        await ann.in_state(LineState.OFF)
        ann.console.type(b"lost\r")

        async def refused() -> bool | None:
            return True if any("not typed" in problem for problem in ann.problems) else None

        await until(refused)
        ann.text = ""
        await storage.succeeded(await storage.admin.call(vms.START, vm_id=guest.id))
        await ann.in_state(LineState.OPEN)
        await ann.prompt()


async def test_console_that_virsh_holds_is_told_and_taken_only_when_asked(storage: StorageServer, guest: VM) -> None:
    consoles = storage.server.parts.consoles.live
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
        virsh = await asyncio.to_thread(Serial, storage.daemon.uri, guest.name)
        await ann.in_state(LineState.HELD)
        await asyncio.to_thread(virsh.type, "echo virsh-$((3*3))")
        await asyncio.to_thread(virsh.see, "virsh-9")
        assert ann.state is LineState.HELD
        ann.console.force()
        await ann.in_state(LineState.OPEN)
        ann.text = ""
        await ann.prompt()
        virsh.close()
    for key in list(consoles._open):
        consoles._end(key)  # instead of 30 s

    def free() -> bool:
        try:
            other = libvirt.open(storage.daemon.uri)
            stream = other.newStream(libvirt.VIR_STREAM_NONBLOCK)
            other.lookupByUUIDString(guest.id).openConsole(None, stream, 0)
            stream.abort()
        except libvirt.libvirtError:
            return False
        return True

    async def is_free() -> bool | None:
        return await asyncio.to_thread(free) or None

    await until(is_free)


async def test_console_comes_back_after_libvirtd_was_killed(storage: StorageServer, guest: VM) -> None:
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
        await asyncio.to_thread(storage.daemon.kill)

        async def noticed() -> bool | None:
            return True if ann.state in (LineState.UNAVAILABLE, LineState.OPENING) else None

        await until(noticed)
        await asyncio.to_thread(storage.daemon.start)
        storage.libvirt = await asyncio.to_thread(libvirt.open, storage.daemon.uri)
        await ann.in_state(LineState.OPEN)
        ann.text = ""
        await ann.prompt()
