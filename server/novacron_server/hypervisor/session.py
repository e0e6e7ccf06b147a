"""One open connection: opened and first looked at in a worker thread, watched until it is lost."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import libvirt
import structlog

from novacron_server.hypervisor import events, kvm
from novacron_server.hypervisor.domains import DomainReader
from novacron_server.hypervisor.facts import HostFacts
from novacron_server.hypervisor.faults import plain
from novacron_server.hypervisor.uris import dial_address, is_local, is_simulated

_log = structlog.get_logger(__name__)
Override = Literal["kvm", "qemu"] | None


class Session:
    """A connection and what is known through it alone. `lost` is done, with the reason, once it is of no more use."""

    def __init__(self, uri: str, loop: asyncio.AbstractEventLoop) -> None:
        self.uri = uri
        self.connection: Any = None
        self.reader = DomainReader()
        self.virtualization = "test" if is_simulated(uri) else ""
        self.hypervisor_version = ""
        self.lost: asyncio.Future[str] = loop.create_future()

    def lose(self, reason: str) -> None:
        """Called in the loop's thread; the first reason stays."""
        if not self.lost.done():
            self.lost.set_result(reason)

    def open(self, keepalive_s: int, keepalive_count: int) -> None:
        """Blocks, for ever if the host hangs. Raises libvirtError."""
        events.start()
        self.connection = libvirt.open(dial_address(self.uri))
        try:
            self.connection.setKeepAlive(keepalive_s, keepalive_count)
        except libvirt.libvirtError:
            _log.debug("no keepalive on this connection", uri=self.uri)  # the simulator: there is no line to break

    def choose_virtualization(self, override: Override) -> None:
        """Blocks, for seconds where libvirt first has to look at its QEMU. Raises libvirtError."""
        if not self.virtualization:
            self.virtualization = kvm.choose(
                self.connection.getCapabilities, local=is_local(self.uri), override=override
            )

    def read_hypervisor_version(self) -> None:
        """Once for a connection, and never before it is up: this, too, can take seconds."""
        if self.hypervisor_version or is_simulated(self.uri):
            return
        try:
            self.hypervisor_version = _version(self.connection.getVersion())
        except libvirt.libvirtError as error:
            _log.debug("no hypervisor version", uri=self.uri, error=plain(str(error)))  # no emulator is installed

    def close(self) -> None:
        """Blocks while the host hangs, at most until keepalive ends it."""
        if self.connection is None:
            return
        try:
            self.connection.close()
        except libvirt.libvirtError as error:
            _log.debug("closing a connection failed", uri=self.uri, error=plain(str(error)))


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


def read_host(session: Session, notes: tuple[str, ...]) -> HostFacts:
    """What the host says of itself. Raises libvirtError."""
    connection = session.connection
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
