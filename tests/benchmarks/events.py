"""From a libvirt event to a painted cell: a guest is paused and resumed behind the server's back, seen from outside.

The floor is the event's own way to a bare libvirt client in this process.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sys import executable

import libvirt

from tests.benchmarks.figure import Figure, percentile
from tests.support.processes import server
from tests.support.terminal import Terminal

URI = "qemu:///system"
ROUNDS = 100


def measure() -> Iterator[Figure]:
    bare = _Bare()
    with _guest(bare.connection) as domain, server("--hypervisor", URI) as ours:
        novacron = str(Path(executable).with_name("novacron"))
        environment = {"NOVACRON_TOKEN": ours.token}
        with Terminal([novacron, "--server", ours.url], environment=environment) as terminal:
            terminal.see(f"{domain.name()}.*running", 30)
            _quiet(terminal)
            painted, floor = zip(*(_round(bare, domain, terminal) for _ in range(ROUNDS)), strict=True)
    name = "libvirt event to painted cell, p99"
    worst = percentile(list(painted), 99) * 1000
    yield Figure(name, worst, "ms", 50.0, percentile(list(floor), 99) * 1000, "event to a bare client", absolute=True)
    yield Figure(name.replace("p99", "median"), percentile(list(painted), 50) * 1000, "ms", 50.0, absolute=True)


def _round(bare: _Bare, domain: libvirt.virDomain, terminal: Terminal) -> tuple[float, float]:
    """Seconds from the change to (the cell, the bare client's callback)."""
    running = domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    bare.clear()
    changed = domain.suspend if running else domain.resume
    began = time.monotonic()
    changed()
    seen = terminal.see(f"{domain.name()}.*{'paused' if running else 'running'}", 10)
    bare.called.wait(5)
    _quiet(terminal)
    # The clock starts when libvirt told its clients, not when the caller asked.
    return seen - bare.at, max(bare.at - began, 1e-4)


def _quiet(terminal: Terminal) -> None:
    """Wait until the screen has settled, and a little at random, so as not to fall in step with its ticks."""
    while terminal.read(0.15):
        pass
    time.sleep((time.monotonic_ns() % 100) / 1000)


class _Bare:
    """A libvirt client with nothing on top, to know when an event was there to be had."""

    def __init__(self) -> None:
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._loop, daemon=True).start()
        self.connection = libvirt.open(URI)
        self.called = threading.Event()
        self.at = 0.0
        self.connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._told, None)

    @staticmethod
    def _loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    def clear(self) -> None:
        self.called.clear()

    def _told(self, *_: object) -> None:
        self.at = time.monotonic()
        self.called.set()


@contextmanager
def _guest(connection: libvirt.virConnect) -> Iterator[libvirt.virDomain]:
    """A guest without a disk: it sits in its firmware, and costs little."""
    name = f"bench-{uuid.uuid4().hex[:6]}"
    domain = connection.createXML(
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='none'/></devices></domain>"
    )
    try:
        yield domain
    finally:
        domain.destroy()
