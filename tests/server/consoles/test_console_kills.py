"""A server that is killed under an open console: the console comes back, and nothing is typed twice."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from novacron_core.api.consoles import LineState
from novacron_core.api.vms import VM
from novacron_core.local_server import read_running_server
from tests.support.consoles import SHELL, Watcher, watching
from tests.support.killable import KillableStorageServer, open_killable_server
from tests.support.libvirtd import require_private_libvirtd
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.torture,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(1200),
]
KILLS = int(os.environ.get("NOVACRON_KILLS", "2"))
COUNT = b'stty -echo; while read -r n; do [ "$n" = end ] && break; echo "<$n>"; done; stty echo; echo ended-$((6*7))\r'
"""Each line that is typed is printed once, and that is all that is printed."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killable() -> AsyncIterator[KillableStorageServer]:
    require_private_libvirtd()
    async with open_killable_server() as made:
        yield made
        for domain in made.libvirt.listAllDomains():
            if domain.isActive():
                domain.destroy()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(killable: KillableStorageServer) -> AsyncIterator[VM]:
    await asyncio.to_thread(add_image, killable.server.data_dir / "images", "shell", SHELL)
    yield await started(killable, "tiny", "shell")


async def type_lines(watcher: Watcher, accepted: list[int]) -> None:
    """Type numbered lines without end. `accepted` gets those that the client has taken."""
    number = 0
    while True:
        if watcher.state is LineState.OPEN:
            if watcher.console.type(b"%d\n" % number):
                accepted.append(number)
            number += 1
        await asyncio.sleep(random.uniform(0.0, 0.02))


async def test_nothing_is_typed_twice_by_a_console_whose_server_is_killed(
    killable: KillableStorageServer, guest: VM
) -> None:
    async with watching(killable.admin, guest.id) as ann:
        await ann.prompt()
        ann.console.type(COUNT)
        await ann.see("$((6*7))")
        accepted: list[int] = []
        typing = asyncio.create_task(type_lines(ann, accepted))
        try:
            for _ in range(KILLS):
                before = len(ann.text)

                async def goes_on(before: int = before) -> bool | None:
                    return True if len(re.findall(r"<\d+>", ann.text[before:])) > 20 else None

                await until(goes_on, 60)
                await asyncio.sleep(random.uniform(0.0, 0.5))
                killable.process.kill()

                async def noticed() -> bool | None:
                    return True if ann.state is None else None

                await until(noticed)
                await killable.process.start()
                running = read_running_server(killable.server.data_dir)
                assert running is not None
                killable.admin.move(running.url)
                await ann.in_state(LineState.OPEN)
        finally:
            typing.cancel()
            await asyncio.wait({typing})
        await asyncio.sleep(1.0)
        ann.console.type(b"end\n")
        await ann.see("ended-42")
    printed = [int(number) for number in re.findall(r"<(\d+)>", ann.text)]
    assert [number for number, times in Counter(printed).items() if times > 1] == []
    assert printed == sorted(printed)
    assert set(printed) <= set(accepted)
    # What is missing was on the way when the server was killed, or printed while nobody listened.
    assert len(printed) > 20 * KILLS
