"""Typing into a real guest that does not read, or slowly: nothing else waits for it, and what is not typed is said."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

import libvirt
import psutil
import pytest
import pytest_asyncio

from novacron_core.api import consoles as api
from novacron_core.api import hosts, vms
from novacron_core.api.consoles import LineState
from novacron_core.api.vms import VM
from tests.support.consoles import SHELL, Watcher, watching
from tests.support.storage import StorageServer
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [pytest.mark.qemu, pytest.mark.asyncio(loop_scope="module")]
MIB = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(storage: StorageServer) -> AsyncIterator[VM]:
    await asyncio.to_thread(add_image, storage.server.data_dir / "images", "shell", SHELL)
    yield await started(storage, "tiny", "shell")


def lost_of(watcher: Watcher) -> int:
    return sum(frame.lost for frame in watcher.frames if isinstance(frame, api.ConsoleProblem))


async def paused(storage: StorageServer, vm: VM) -> libvirt.virDomain:
    domain = storage.libvirt.lookupByUUIDString(vm.id)
    await asyncio.to_thread(domain.suspend)
    return domain


class Pulse:
    """How long the server's loop and libvirt's host were away at most, in s."""

    def __init__(self, storage: StorageServer) -> None:
        self.loop_s = self.host_s = 0.0
        self._storage = storage
        self._tasks = [asyncio.create_task(self._loop()), asyncio.create_task(self._host())]

    async def _loop(self) -> None:
        while True:
            at = time.monotonic()
            await asyncio.sleep(0.01)
            self.loop_s = max(self.loop_s, time.monotonic() - at)

    async def _host(self) -> None:
        while True:
            at = time.monotonic()
            found = (await self._storage.admin.call(hosts.LIST)).items
            assert [str(each.status) for each in found] == ["up"], found
            self.host_s = max(self.host_s, time.monotonic() - at)
            await asyncio.sleep(0.1)

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@pytest.mark.parametrize("how_long", ["seconds", pytest.param("until given up", marks=pytest.mark.long)])
async def test_guest_that_stops_reading_holds_up_nobody(storage: StorageServer, guest: VM, how_long: str) -> None:
    async with watching(storage.admin, guest.id) as ann, watching(storage.admin, guest.id) as bob:
        await ann.prompt()
        console = storage.server.parts.consoles.live._open[(guest.host, guest.id)]
        console._why_not_read = lambda: ""  # type: ignore[method-assign]  # a guest that runs, and hangs
        domain = await paused(storage, guest)
        before, pulse = psutil.Process().memory_info().rss, Pulse(storage)
        try:
            assert ann.console.type(b"x" * MIB)
            await asyncio.sleep(2.0)  # it has filled what there is to fill
            assert ann.console.waiting > MIB // 2
            bob.console.take(ann.console.follower)

            async def taken() -> bool | None:
                return True if ann.writer_id == bob.console.follower else None

            await until(taken, 5)
            if how_long != "seconds":
                await saw_stuck(bob)
            await asyncio.sleep(1.0)
            await pulse.end()
            assert pulse.loop_s < 2.0
            assert psutil.Process().memory_info().rss - before < 32 * MIB
        finally:
            await asyncio.to_thread(domain.resume)
            del console._why_not_read
        await bob.in_state(LineState.OPEN)

        async def told() -> bool | None:
            return True if lost_of(ann) >= MIB - 64 * 1024 else None

        await until(told)
        assert lost_of(ann) <= MIB
        bob.console.type(b"\x03")
        bob.text = ""
        await bob.prompt()


async def saw_stuck(watcher: Watcher) -> None:
    async def given_up() -> bool | None:
        return True if any("does not read" in str(getattr(f, "detail", "")) for f in watcher.frames) else None

    await until(given_up, 60)


async def test_paused_vm_takes_no_keys_and_says_so(storage: StorageServer, guest: VM) -> None:
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
        domain = await paused(storage, guest)

        async def known() -> bool | None:
            return True if (await storage.server.vm(guest.name)).state is vms.State.PAUSED else None

        await until(known)
        assert ann.console.type(b"y" * MIB)

        async def told() -> bool | None:
            return True if lost_of(ann) == MIB else None

        await until(told)
        assert ann.problems == ["not typed: the VM is paused"]
        await asyncio.to_thread(domain.resume)

        async def runs() -> bool | None:
            return True if (await storage.server.vm(guest.name)).state is vms.State.RUNNING else None

        await until(runs)
        ann.text = ""
        await ann.prompt()
        assert "yyy" not in ann.text


async def test_pasted_lines_arrive_whole_and_in_order_at_a_guest_that_reads_slowly(
    storage: StorageServer, guest: VM
) -> None:
    async with watching(storage.admin, guest.id) as ann:
        await ann.prompt()
        # It reads a line at a time and sleeps every 64 lines, with no echo: nothing shows how far it is.
        ann.console.type(
            b'stty -echo; n=0; bad=0; while read line; do [ "$line" = end ] && break;'
            b' [ "$line" = "line-$n-0123456789abcdef0123456789abcdef" ] || bad=$((bad+1)); n=$((n+1));'
            b" [ $((n % 64)) = 0 ] && sleep 0.05; done; stty echo; echo got-$n-bad-$bad\r"
        )
        await asyncio.sleep(1.0)
        lines = 2000
        text = "".join(f"line-{n}-0123456789abcdef0123456789abcdef\n" for n in range(lines)) + "end\n"
        pulse = Pulse(storage)
        assert ann.console.type(text.encode())

        async def told() -> list[tuple[str, str]] | None:
            return re.findall(r"got-(\d+)-bad-(\d+)\r", ann.text) or None

        assert await until(told, 100) == [(str(lines), "0")]
        await pulse.end()
        assert lost_of(ann) == 0
        assert pulse.loop_s < 2.0


async def test_part_of_a_paste_that_cannot_be_typed_takes_the_rest_with_it(storage: StorageServer, guest: VM) -> None:
    """The rest of a text is another text: `cd /tmp/x` lost, `rm -rf *` typed."""
    async with watching(storage.admin, guest.id) as ann, watching(storage.admin, guest.id) as bob:
        await ann.prompt()
        ann.console.type(
            b"stty -echo; n=0; while read -r x; do n=$((n+1)); [ $((n % 64)) = 0 ] && sleep 0.1; done; stty echo\r"
        )
        await asyncio.sleep(1.0)
        assert ann.console.type(b"0123456789abcdef\n" * 20_000)
        await asyncio.sleep(0.5)
        bob.console.take(ann.console.follower)

        async def told() -> bool | None:
            return True if lost_of(ann) else None

        await until(told)
        assert len(ann.problems) == 1  # for all that was lost
        assert "ann types now" in ann.problems[0]
        ann.console.take(bob.console.follower)

        async def back() -> bool | None:
            return True if ann.writer_id == ann.console.follower else None

        await until(back)
        assert ann.console.waiting == 0
        ann.console.type(b"\x03stty echo\r")
        ann.text = ""
        await ann.prompt()
