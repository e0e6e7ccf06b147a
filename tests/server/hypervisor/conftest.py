"""Hosts for tests: a private libvirtd that may be stopped and killed, and hosts that record what they report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from novacron_core.api.hosts import HostStatus
from novacron_server.hypervisor import Timing
from tests.support.libvirt_hosts import QEMU, QUICK, WatchedHost, system_is_usable
from tests.support.libvirtd import PrivateLibvirtd


@pytest.fixture
def libvirtd(libvirtd_named: Callable[[str], PrivateLibvirtd]) -> PrivateLibvirtd:
    return libvirtd_named("one")


@pytest.fixture
async def watch() -> AsyncIterator[Callable[..., WatchedHost]]:
    """Creates hosts that are closed at the end."""
    made: list[WatchedHost] = []

    def make(uri: str, timing: Timing | None = None) -> WatchedHost:
        made.append(WatchedHost(uri, timing))
        return made[-1]

    yield make
    for watched in made:
        await watched.host.close()


@pytest.fixture
async def qemu(request: pytest.FixtureRequest, watch: Callable[..., Any]) -> AsyncIterator[Any]:
    """A host that runs real guests."""
    uri = QEMU if system_is_usable() else request.getfixturevalue("libvirtd").uri
    watched = watch(uri, QUICK)
    await watched.host.open()
    assert watched.host.status is HostStatus.UP, watched.host.detail
    yield watched
