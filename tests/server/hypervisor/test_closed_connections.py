"""What a closed connection to a host leaves behind: nothing, also without Python's garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import libvirt
import psutil
import pytest

from novacron_core.api.hosts import HostStatus
from novacron_core.errors import NovaCronError
from novacron_server.hypervisor.connection.connection import LibvirtConnection
from tests.support.libvirt_hosts import QUICK
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.waiting import until

UUID = "7b5c1a5e-9c8e-4f6e-8f7e-3b1f0a4b2c1d"
OFF = (
    f"<domain type='qemu'><name>off</name><uuid>{UUID}</uuid>"
    "<memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>"
)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What is held in a cycle of references stays until it is found."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def connections(daemon: PrivateLibvirtd) -> int:
    assert daemon._process is not None
    return sum(1 for each in psutil.Process(daemon._process.pid).net_connections("unix") if each.laddr)


async def only(daemon: PrivateLibvirtd, wanted: int) -> None:
    async def left() -> bool | None:
        return True if connections(daemon) <= wanted else None

    try:
        await until(left, 5)
    except AssertionError as e:
        raise AssertionError(f"{connections(daemon)} connections instead of {wanted}") from e


async def test_error_that_somebody_keeps_does_not_keep_its_connection(libvirtd: PrivateLibvirtd) -> None:
    before = connections(libvirtd)
    connection = LibvirtConnection(libvirtd.uri, 5, 5)

    def fail(virt: Any) -> None:
        domain = virt.defineXML(OFF)
        domain.destroy()

    with pytest.raises(libvirt.libvirtError) as kept:
        connection.run(fail)
    connection.close()
    await only(libvirtd, before)
    assert "not running" in str(kept.value)


async def test_host_that_is_lost_and_comes_back_leaves_no_connection(
    libvirtd: PrivateLibvirtd, watch: Callable[..., Any]
) -> None:
    watched = watch(libvirtd.uri, QUICK)
    await watched.host.open()
    before = connections(libvirtd)
    kept = []
    for _ in range(5):
        await watched.host.read_domains()
        with pytest.raises(NovaCronError) as refused:
            await watched.host.start(UUID)
        kept.append(refused)
        watched.host._supervisor.session.lose("a test")
        await watched.until_status(HostStatus.DOWN, 5)
        await watched.until_status(HostStatus.UP, 5)
    await only(libvirtd, before)
