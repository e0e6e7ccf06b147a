"""A host: all calls to one libvirt, as coroutines with deadlines and operator-facing errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

import msgspec

from novacron_core.api.hosts import HostStatus
from novacron_core.errors import HostUnavailable, InvalidArgument, NovaCronError, Unsupported
from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.events import Kind, Run
from novacron_server.hypervisor.connection.kvm import why_slow
from novacron_server.hypervisor.connection.session import HostSession, Override, read_host, start_default_network
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, Timing
from novacron_server.hypervisor.connection.uris import check_uri, is_local, is_simulated
from novacron_server.hypervisor.facts import DomainFacts, Hint, HostFacts, OwnershipTag
from novacron_server.hypervisor.host_console_logs import HostConsoleLogs
from novacron_server.hypervisor.host_consoles import HostConsoles
from novacron_server.hypervisor.host_disks import HostDisks
from novacron_server.hypervisor.host_storage import HostStorage
from novacron_server.hypervisor.networks.leases import Addresses, read_addresses
from novacron_server.hypervisor.specs import DomainSpec
from novacron_server.hypervisor.statistics import reader as statistics
from novacron_server.hypervisor.statistics import simulated_load
from novacron_server.hypervisor.statistics.counters import Group, Reading
from novacron_server.hypervisor.statistics.simulated_load import SimulatedLoad
from novacron_server.hypervisor.vms import domains
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.hypervisor.vms.qemu_log import read_qemu_log
from novacron_server.hypervisor.vms.qemu_processes import read_processes

_RUNS: dict[Kind, Run] = {"boot": "started", "reboot": "restarted", "stop": "stopped", "death": "stopped"}
AGENT_S = 2.0
"""How long a guest agent may take to accept a request, before the guest's power button is pressed instead."""


class LibvirtHost(Calls[DomainReader]):
    """One libvirt host. Used from one asyncio loop; `on_hint` and `on_status` are called in that loop's thread.

    Every coroutine raises HostUnavailable if the host is down or does not respond, and the class to which `faults` maps
    a libvirt error: NotFound, Conflict, Unsupported, InvalidArgument or Internal.
    After each change to UP the owner must read everything again: events during the outage are lost.
    """

    def __init__(
        self,
        host_id: str,
        uri: str,
        *,
        on_hint: Callable[[Hint], None],
        on_status: Callable[[LibvirtHost], None],
        virtualization: Override = None,
        simulate_load: bool = False,
        timing: Timing | None = None,
    ) -> None:
        """`virtualization` overrides what is detected. `simulate_load`: the host of a demo, which is called like its node
        file, and whose VMs have a load. Raises InvalidArgument for an invalid URI, or if such a host is none of the
        simulator.
        """
        check_uri(uri)
        if simulate_load and not is_simulated(uri):
            raise InvalidArgument(f"{uri} is a real host: its load is never simulated")
        self.host_id = host_id
        self.uri = uri
        self.facts: HostFacts | None = None
        self.reboots: Counter[str] = Counter()
        """VM → how many reboots of its guest were reported since the server was started."""
        self.deaths: Counter[str] = Counter()
        """VM → how often it was reported since the server was started that its QEMU has died."""
        self._override = virtualization
        self._load = SimulatedLoad() if simulate_load else None
        self._on_hint = on_hint
        self._on_run: Callable[[tuple[str, str], Run], object] = lambda key, run: None
        self._network_start_tried = False
        self._notes: tuple[str, ...] = ()
        self._supervisor = ConnectionSupervisor(
            uri,
            timing or Timing(),
            DomainReader,
            on_status=lambda: self._report(on_status),
            on_event=self._hint,
            on_connect=self._connected,
        )
        super().__init__(self._supervisor)
        self.storage = HostStorage(self._supervisor)
        self.disks = HostDisks(self._supervisor)
        self.consoles = HostConsoles(self._supervisor)
        self.console_logs = HostConsoleLogs(self._supervisor)

    @property
    def name(self) -> str:
        """The host's own name if known, else the one in its URI, which as a whole is for administrators."""
        return self.facts.hostname if self.facts else urlsplit(self.uri).hostname or f"host {self.host_id[:8]}"

    @property
    def status(self) -> HostStatus:
        return self._supervisor.status

    @property
    def detail(self) -> str:
        """Why it is down; empty if it is up."""
        return self._supervisor.detail

    @property
    def seen_at(self) -> datetime | None:
        """When it last responded to any call."""
        return self._supervisor.seen_at

    @property
    def latency_ms(self) -> float | None:
        """How long the last heartbeat took."""
        return self._supervisor.latency_ms

    @property
    def simulated(self) -> bool:
        return is_simulated(self.uri)

    async def open(self) -> None:
        """Connect, and stay connected until `close`. Returns after the first attempt, whether or not it succeeded.

        A closed host cannot be reopened (HostUnavailable): create another object.
        """
        await self._supervisor.open()

    async def close(self) -> None:
        await self._supervisor.close()

    async def read_host(self) -> HostFacts:
        session = self._supervisor.require()
        self.facts = await self._read(lambda connection: self._read_host(session, connection))
        return self.facts

    async def read_domains(self, *, fresh: bool = True) -> list[DomainFacts]:
        """Every domain. `fresh=False` reads all states, but only the definitions that are new or named by an event."""
        if not self._supervisor.require().reader.has_pools:
            with suppress(HostUnavailable):  # storage may hang while domains respond; disks then have only paths
                await self.storage.read_pools()
        reader = self._supervisor.require().reader
        return await self._read(lambda connection: reader.read_all(connection, fresh=fresh))

    async def read_domain(self, uuid: str) -> DomainFacts | None:
        reader = self._supervisor.require().reader
        return await self._read(lambda connection: reader.read_one(connection, uuid))

    async def read_addresses(self) -> Addresses:
        """The IP addresses that this host's networks have leased, by MAC address."""
        return await self._read(read_addresses)

    async def read_counters(self, group: Group) -> Reading:
        """The counters of all running domains. Uses separate threads, so that a slow read delays no other call."""
        devices = self._supervisor.require().reader.devices() if self.simulated else None

        def read(connection: Any) -> Reading:
            if self._load is not None and devices is not None:
                return self._load.read(connection, group, devices)
            return statistics.read(connection, group, devices)

        return await self._supervisor.call(
            self._supervisor.statistics,
            read,
            what="read statistics",
            deadline_s=self._supervisor.timing.statistics_s,
        )

    async def read_qemu_log(self, name: str) -> tuple[list[str], str]:
        """The last lines of QEMU's log of the VM with this name, and why there are none. Asks the machine's file
        system, not libvirt: it raises nothing."""
        if self.simulated:
            return [], "a simulated host has no QEMU, and no log of it"
        return await read_qemu_log(self.uri, name)

    async def read_runs(self, domains: Iterable[DomainFacts]) -> dict[str, str]:
        """UUID → what tells the current run of each of these VMs from every other run of it, for those that run: libvirt's
        number, and the process where it is one of this machine. A simulated run is over with its connection."""
        if self.simulated:
            return {}
        processes = await read_processes() if is_local(self.uri) else {}
        return {
            facts.uuid: f"{facts.run_id} {processes.get(facts.uuid, '')}".strip()
            for facts in domains
            if facts.run_id is not None
        }

    async def definition(self, uuid: str) -> str:
        """The XML of the persistent definition, without secrets. Raises NotFound."""
        return await self._read(lambda connection: domains.definition(connection, uuid))

    async def start(self, uuid: str) -> None:
        await self._change("start the VM", domains.start, uuid)

    async def shutdown(self, uuid: str) -> None:
        """Send the request to the guest; does not wait for its reaction."""
        if not await self._agent_took(domains.ask_agent_to_shut_down, uuid):
            await self._change("shut the VM down", domains.press_power_button, uuid)

    async def power_off(self, uuid: str) -> None:
        await self._change("power the VM off", domains.power_off, uuid)

    async def pause(self, uuid: str) -> None:
        await self._change("pause the VM", domains.pause, uuid)

    async def resume(self, uuid: str) -> None:
        await self._change("resume the VM", domains.resume, uuid)

    async def restart(self, uuid: str) -> None:
        """Send the request to the guest; does not wait for its reaction."""
        if not await self._agent_took(domains.ask_agent_to_reboot, uuid):
            await self._change("restart the VM", domains.press_for_reboot, uuid)

    async def _agent_took(self, ask: Callable[[Any, str], None], uuid: str) -> bool:
        """Send a request to the guest agent. False if there is none, or it does not take the request in time.

        libvirt waits a minute for an agent that has stopped responding: the agents have threads of their own, so that
        they delay no other call.
        """
        if self.simulated:
            return False
        try:
            await self._supervisor.call(
                self._supervisor.agents, lambda connection: ask(connection, uuid), deadline_s=AGENT_S
            )
        except NovaCronError:  # also of a host that is down: the caller's next call says so
            return False
        return True

    async def reset(self, uuid: str) -> None:
        await self._change("reset the VM", domains.reset, uuid)

    async def crash(self, uuid: str) -> None:
        """Make a VM of a demo crash. Raises Unsupported on every other host."""
        if self._load is None:
            raise Unsupported("only the VMs of a demo can be made to crash")
        await self._change("crash the VM", simulated_load.crash, uuid)

    async def discard_saved(self, uuid: str) -> None:
        """Delete the memory with which a saved VM would start."""
        await self._change("discard the saved memory", domains.discard_saved, uuid)

    async def set_memory_period(self, uuid: str, period_s: int) -> None:
        """Set how often the guest's balloon driver reports memory statistics, in seconds."""
        await self._change("enable the VM's memory statistics", statistics.set_memory_period, uuid, period_s)

    async def define(self, spec: DomainSpec) -> None:
        """Define the domain, or redefine the existing one with its UUID."""
        await self._change("define the VM", domains.define, spec)

    async def undefine(self, uuid: str) -> None:
        """Remove a stopped domain and libvirt's data on it; succeeds if there is none. Conflict while it runs."""
        await self._change("delete the VM", domains.undefine, uuid)

    async def set_tag(self, uuid: str, tag: OwnershipTag | None) -> None:
        """Write NovaCron's tag into a domain, running or not; None: remove it."""
        await self._change("tag the VM", domains.set_tag, uuid, tag)

    def _connected(self, session: HostSession[DomainReader], connection: Any) -> None:
        """Runs in a worker thread with each new connection: read the facts that later calls need."""
        if not self._network_start_tried and not self.simulated and urlsplit(self.uri).path == "/system":
            self._network_start_tried = True
            notes = (start_default_network(connection), why_slow() if self.uri == "qemu:///system" else "")
            self._notes = tuple(note for note in notes if note)
        session.choose_virtualization(connection, self._override)
        self.facts = self._named(read_host(session, connection, self._notes))

    def _read_host(self, session: HostSession[DomainReader], connection: Any) -> HostFacts:
        session.read_hypervisor_version(connection)
        return self._named(read_host(session, connection, self._notes))

    def _named(self, facts: HostFacts) -> HostFacts:
        """Each host of the simulator has the name of this machine."""
        return facts if self._load is None else msgspec.structs.replace(facts, hostname=PurePath(self.uri).stem)

    def _hint(self, kind: Kind, uuid: str | None) -> None:
        if kind == "reboot":
            self.reboots[uuid or ""] += 1
        elif kind == "death":
            self.deaths[uuid or ""] += 1
        if (run := _RUNS.get(kind)) is not None:
            self._on_run((self.host_id, uuid or ""), run)
        named = kind if kind in ("pool", "host") else "domain"
        self._on_hint(Hint(host_id=self.host_id, kind=named, uuid=uuid))

    def listen_to_runs(self, listener: Callable[[tuple[str, str], Run], object]) -> None:
        """Call it with (host id, VM id) whenever a guest boots, reboots or stops; in the loop's thread, before the hint."""
        self._on_run = listener

    def _report(self, on_status: Callable[[LibvirtHost], None]) -> None:
        if self.status is not HostStatus.UP:
            self._on_run((self.host_id, ""), "lost")
        on_status(self)
