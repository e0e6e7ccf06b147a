"""Everything that is open to one host between its coming up and its being lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeVar

import libvirt
import structlog

from novacron_server.hypervisor.connection import kvm
from novacron_server.hypervisor.connection.connection import ConnectionLost, LibvirtConnection
from novacron_server.hypervisor.connection.uris import is_local, is_simulated
from novacron_server.hypervisor.facts import HostFacts
from novacron_server.hypervisor.faults import plain

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Cache(Protocol):
    """What is remembered of one connection, as far as the connection knows it."""

    def forget(self, uuid: str) -> None:
        """Called from the event thread when an event names this domain."""


R = TypeVar("R", bound=Cache)
Override = Literal["kvm", "qemu"] | None


class HostSession(Generic[R]):
    """The wires to a host while it is up: one for events, one for each thread that makes calls.

    `lost` is done, with the reason, once any of them is of no more use; all are given up together then.
    """

    def __init__(
        self, uri: str, reader: R, loop: asyncio.AbstractEventLoop, keepalive_s: int, keepalive_count: int
    ) -> None:
        self.uri = uri
        self.reader = reader
        self.virtualization = "test" if is_simulated(uri) else ""
        self.hypervisor_version = ""
        self.lost: asyncio.Future[str] = loop.create_future()
        self.first: LibvirtConnection | None = None
        self._keepalive = keepalive_s, keepalive_count
        self._by_thread: dict[int, LibvirtConnection] = {}
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._closing = False

    def lose(self, reason: str) -> None:
        """Called in the loop's thread; the first reason stays."""
        if not self.lost.done():
            self.lost.set_result(reason)

    def open(self) -> LibvirtConnection:
        """The first wire, the one that hears events. Blocks, for ever if the host hangs. Raises libvirtError."""
        self.first = LibvirtConnection(self.uri, *self._keepalive)
        return self.first

    def run(self, work: Callable[[Any], T]) -> T:
        """Makes a call on this thread's own wire. Raises Lost, libvirtError, and what `work` raises."""
        return self._wire().run(work)

    def _wire(self) -> LibvirtConnection:
        if self.first is not None and is_simulated(self.uri):
            return self.first  # every connection to a simulator's file is a world of its own
        thread = threading.get_ident()
        with self._lock:
            if self._closing:
                raise ConnectionLost("the connection was closed")
            if thread in self._by_thread:
                return self._by_thread[thread]
        return self._another(thread)

    def _another(self, thread: int) -> LibvirtConnection:
        with self._opening:  # never two open() at once to one host
            if self._closing:
                raise ConnectionLost("the connection was closed")
            try:
                wire = LibvirtConnection(self.uri, *self._keepalive)
            except libvirt.libvirtError as error:
                raise ConnectionLost(plain(str(error))) from error
        with self._lock:
            if not self._closing:
                self._by_thread[thread] = wire
                return wire
        wire.close()
        raise ConnectionLost("the connection was closed")

    def close(self) -> None:
        """Closes every wire; one with a call in it is closed by that call."""
        with self._lock:
            self._closing = True
            wires = list(self._by_thread.values())
        for wire in wires if self.first is None else [self.first, *wires]:
            wire.close()

    def choose_virtualization(self, connection: Any, override: Override) -> None:
        """Blocks, for seconds where libvirt first has to look at its QEMU. Raises libvirtError."""
        if not self.virtualization:
            self.virtualization = kvm.choose(connection.getCapabilities, local=is_local(self.uri), override=override)

    def read_hypervisor_version(self, connection: Any) -> None:
        """Once for a session, and never before it is up: this, too, can take seconds."""
        if self.hypervisor_version or is_simulated(self.uri):
            return
        try:
            self.hypervisor_version = _version(connection.getVersion())
        except libvirt.libvirtError as error:
            _log.debug("no hypervisor version", uri=self.uri, error=plain(str(error)))  # no emulator is installed


def start_default_network(connection: Any) -> str:
    """Starts the network `default` where it is defined and off. Returns a sentence when that fails, else nothing."""
    try:
        inactive = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_INACTIVE)
        for network in inactive:
            if network.name() == "default":
                network.create()
                _log.info("the network default was off and was started")
    except libvirt.libvirtError as error:
        sentence = f"the network default cannot be started: {plain(str(error))}"
        _log.warning(sentence)
        return sentence
    return ""


def read_host(session: HostSession[Any], connection: Any, notes: tuple[str, ...]) -> HostFacts:
    """What the host says of itself. Raises libvirtError."""
    architecture, memory_mib, cpus = connection.getInfo()[:3]
    simulated = is_simulated(session.uri)
    return HostFacts(
        hostname=str(connection.getHostname()),
        cpus=int(cpus),
        memory_bytes=int(memory_mib) * 1024**2,
        # The simulator answers in KiB where bytes are promised: no number is better than a wrong one.
        memory_free_bytes=None if simulated else _free_memory(connection),
        libvirt_version=_version(connection.getLibVersion()),
        hypervisor_version=session.hypervisor_version,
        virtualization=session.virtualization,
        simulated=simulated,
        networks=_active_networks(connection),
        architecture=str(architecture),
        notes=notes,
    )


def _free_memory(connection: Any) -> int | None:
    try:
        return int(connection.getFreeMemory())
    except libvirt.libvirtError:
        return None


def _active_networks(connection: Any) -> tuple[str, ...]:
    try:
        networks = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
    except libvirt.libvirtError:
        return ()  # a session libvirtd may have no network driver
    return tuple(sorted(str(network.name()) for network in networks))


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
