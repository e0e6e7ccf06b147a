"""Fixtures for journeys: a data directory, `novacron` in a terminal, and a real host that is cleaned up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from novacron_server.hypervisor.connection.daemons import start_daemons
from tests.support.libvirt_hosts import QEMU, make_journey_dir, remove_domains, remove_leftovers, remove_pools
from tests.support.processes import NOVACRON, stop_server
from tests.support.terminal import Terminal


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that QEMU's user may enter. Its server and PostgreSQL are stopped after the test."""
    path = make_journey_dir()
    yield path
    stop_server(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def qemu(data_dir: Path) -> Iterator[libvirt.virConnect]:
    """The real host. Domains and pools of this test's server are removed at the end, even if it fails."""
    start_daemons()
    try:
        connection = libvirt.open(QEMU)
    except libvirt.libvirtError as e:
        pytest.skip(f"no {QEMU} here: {e}")
    remove_leftovers(connection)
    yield connection
    stop_server(data_dir)
    remove_domains(connection, data_dir)
    remove_pools(connection, data_dir)
    connection.close()


@pytest.fixture
def console(data_dir: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens `novacron` in a terminal; all are closed at the end."""
    opened: list[Terminal] = []

    def open_console(*arguments: str, **more: object) -> Terminal:
        terminal = Terminal([NOVACRON, "--data-dir", str(data_dir), *arguments], **more)  # type: ignore[arg-type]
        opened.append(terminal.__enter__())
        return terminal

    yield open_console
    for terminal in opened:
        terminal.__exit__(None, None, None)
