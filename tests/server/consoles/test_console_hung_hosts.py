"""Consoles of guests on two hosts, one of which hangs: while its console is open, and while it is being opened."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest
import pytest_asyncio

from novacron_core.api import vms
from novacron_core.api.consoles import LineState
from novacron_core.api.vms import State
from tests.support.consoles import SHELL, Watcher, watching
from tests.support.fair_clock import fair_now
from tests.support.initrd import copy_kernel, write_initrd
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.server import ServerWithDatabase, open_server
from tests.support.waiting import until

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(300)]
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>160</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type><kernel>{kernel}</kernel><initrd>{initrd}</initrd>
<cmdline>console=ttyS0 quiet</cmdline></os>
<devices><serial type='pty'/><console type='pty'/><memballoon model='none'/></devices></domain>"""
NOTICED_S = 20.0


@dataclass
class Pair:
    """A server on two hosts, each with a guest that has its host's name."""

    server: ServerWithDatabase
    bad: PrivateLibvirtd

    async def id_of(self, name: str) -> str:
        async def runs() -> str | None:
            items = (await self.server.admin.call(vms.LIST)).items
            return next((vm.id for vm in items if vm.name == name and vm.state is State.RUNNING), None)

        return await until(runs, 30)


@pytest_asyncio.fixture
async def pair(data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]) -> AsyncIterator[Pair]:
    files = data_dir / "boot"
    files.mkdir()
    kernel, initrd = await asyncio.to_thread(lambda: (copy_kernel(files), write_initrd(files, SHELL)))
    bad, good = libvirtd_named("bad"), libvirtd_named("good")
    for daemon in (bad, good):
        connection = libvirt.open(daemon.uri)
        connection.createXML(GUEST.format(name=daemon.name, kernel=kernel, initrd=initrd), 0)
        connection.close()
    async with open_server(data_dir, [bad.uri, good.uri]) as server:
        try:
            yield Pair(server, bad)
        finally:
            bad.signal(signal.SIGCONT)


async def goes_on(pair: Pair, well: Watcher, number: int) -> None:
    """The API answers, and the other host's guest what is typed."""
    began = fair_now()
    await pair.server.admin.call(vms.LIST)
    assert fair_now() - began < 1.0
    well.console.type(b"echo well-$((%d+1000))\r" % number)
    await well.see(f"well-{number + 1000}", 5)


async def test_console_of_a_host_that_hangs_says_so_and_comes_back(pair: Pair) -> None:
    bad, good = await pair.id_of("bad"), await pair.id_of("good")
    async with watching(pair.server.admin, good) as well, watching(pair.server.admin, bad) as ann:
        await ann.prompt()
        await well.prompt()
        pair.bad.signal(signal.SIGSTOP)
        for number in range(20):
            await goes_on(pair, well, number)
        await ann.in_state(LineState.UNAVAILABLE, NOTICED_S)
        await goes_on(pair, well, 21)
        pair.bad.signal(signal.SIGCONT)
        await ann.in_state(LineState.OPEN, 60)
        ann.text = ""
        await ann.prompt(60)


async def test_console_that_is_opened_while_its_host_hangs_says_so_and_is_opened_later(pair: Pair) -> None:
    bad, good = await pair.id_of("bad"), await pair.id_of("good")
    async with watching(pair.server.admin, good) as well:
        await well.prompt()
        pair.bad.signal(signal.SIGSTOP)
        async with watching(pair.server.admin, bad) as ann:  # nobody has noticed yet that the host hangs
            for number in range(20):
                await goes_on(pair, well, number)
            await ann.in_state(LineState.UNAVAILABLE, NOTICED_S)
            pair.bad.signal(signal.SIGCONT)
            await ann.in_state(LineState.OPEN, 60)
            await ann.prompt(120)
