"""The connections to one host from the time it comes up until it is lost."""

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
    """The data cached for one connection, as far as the connection needs to know it."""

    def invalidate(self, uuid: str) -> None:
        """Called from the event thread when an event names this domain."""


R = TypeVar("R", bound=Cache)
Override = Literal["kvm", "qemu"] | None


class HostSession(Generic[R]):
    """The connections to a host while it is up: one for events, and one for each thread that makes calls.

    `lost` is set to the reason as soon as any of them fails; all of them are closed together then.
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
        """Mark the session as lost. Call it in the loop's thread; the first reason is kept."""
        if not self.lost.done():
            self.lost.set_result(reason)

    def open(self) -> LibvirtConnection:
        """Open the first connection, which receives events. Blocks, forever if the host hangs. Raises libvirtError."""
        self.first = LibvirtConnection(self.uri, *self._keepalive)
        return self.first

    def run(self, work: Callable[[Any], T]) -> T:
        """Make a call on this thread's own connection. Raises ConnectionLost, libvirtError, and what `work` raises."""
        return self._connection().run(work)

    def _connection(self) -> LibvirtConnection:
        if self.first is not None and is_simulated(self.uri):
            return self.first  # each connection to a simulator file has its own separate state
        thread = threading.get_ident()
        with self._lock:
            if self._closing:
                raise ConnectionLost("the connection was closed")
            if thread in self._by_thread:
                return self._by_thread[thread]
        return self._open_for(thread)

    def _open_for(self, thread: int) -> LibvirtConnection:
        with self._opening:  # never two open() calls to one host at the same time
            if self._closing:
                raise ConnectionLost("the connection was closed")
            try:
                connection = LibvirtConnection(self.uri, *self._keepalive)
            except libvirt.libvirtError as error:
                raise ConnectionLost(plain(str(error))) from error
        with self._lock:
            if not self._closing:
                self._by_thread[thread] = connection
                return connection
        connection.close()
        raise ConnectionLost("the connection was closed")

    def close(self) -> None:
        """Close every connection; one with a call in progress closes when that call ends."""
        with self._lock:
            self._closing = True
            connections = list(self._by_thread.values())
        for connection in connections if self.first is None else [self.first, *connections]:
            connection.close()

    def choose_virtualization(self, connection: Any, override: Override) -> None:
        """Blocks, for seconds if libvirt first has to probe QEMU. Raises libvirtError."""
        if not self.virtualization:
            self.virtualization = kvm.choose(connection.getCapabilities, local=is_local(self.uri), override=override)

    def read_hypervisor_version(self, connection: Any) -> None:
        """Read it once per session, and never before the session is up: this can take seconds too."""
        if self.hypervisor_version or is_simulated(self.uri):
            return
        try:
            self.hypervisor_version = _version(connection.getVersion())
        except libvirt.libvirtError as error:
            _log.debug("no hypervisor version", uri=self.uri, error=plain(str(error)))  # no emulator is installed


def start_default_network(connection: Any) -> str:
    """Start the network `default` if it is defined and inactive. Returns a sentence on failure, else ""."""
    try:
        inactive = connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_INACTIVE)
        for network in inactive:
            if network.name() == "default":
                network.create()
                _log.info("started the inactive network default")
    except libvirt.libvirtError as error:
        sentence = f"cannot start the network default: {plain(str(error))}"
        _log.warning(sentence)
        return sentence
    return ""


def read_host(session: HostSession[Any], connection: Any, notes: tuple[str, ...]) -> HostFacts:
    """Read the host's properties. Raises libvirtError."""
    architecture, memory_mib, cpus = connection.getInfo()[:3]
    simulated = is_simulated(session.uri)
    return HostFacts(
        hostname=str(connection.getHostname()),
        cpus=int(cpus),
        memory_bytes=int(memory_mib) * 1024**2,
        # The simulator returns KiB where the API specifies bytes: no value is better than a wrong one.
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
