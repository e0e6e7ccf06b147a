"""Combines facts and rows into the API's VMs and hosts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from novacron_core.api.hosts import Host as APIHost
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.api.vms import NIC, VM, Disk, State, VMCreate
from novacron_core.api.volumes import Volume
from novacron_core.rules.host_reasons import public_reason
from novacron_server.hypervisor.facts import DiskFacts, DomainFacts, HostFacts, NICFacts
from novacron_server.hypervisor.networks.leases import Addresses
from novacron_server.inventory.crashes import current_crash
from novacron_server.inventory.rows import CrashRow, VMRow


@dataclass(frozen=True, slots=True)
class KnownDomain:
    """A domain's facts, when they were read, and since when it has its state (None: since before the first read).

    `booted_at` is when its guest started or restarted last, None if that was not seen. `remembered`: an earlier server
    read them, and this one has not reached the host yet.
    """

    facts: DomainFacts
    seen_at: datetime | None
    state_since: datetime | None
    booted_at: datetime | None = None
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class HostView:
    """The current state of a host in the inventory. `down_since` is set while it does not respond."""

    id: str
    name: str
    uri: str
    status: HostStatus
    detail: str
    seen_at: datetime | None
    latency_ms: float | None
    facts: HostFacts | None
    down_since: datetime | None = None

    @property
    def simulated(self) -> bool:
        return self.facts is not None and self.facts.simulated


_OFF = frozenset({State.STOPPED, State.SAVED, State.CRASHED, State.FAILED})
_TRANSITIONAL: dict[tuple[str, State], State] = {
    ("vm.start", State.STOPPED): State.STARTING,
    ("vm.start", State.SAVED): State.STARTING,
    ("vm.start", State.CRASHED): State.STARTING,
    ("vm.stop", State.RUNNING): State.STOPPING,
    ("vm.create", State.STOPPED): State.PROVISIONING,
}
"""The state shown for a VM while an operation is changing it."""


def compose_vm(
    host: HostView,
    known: KnownDomain | None,
    row: VMRow | None,
    operation: Operation | None,
    volumes: Mapping[tuple[str, str], Volume],
    addresses: Addresses,
    duplicate_on: list[str],
    crash: CrashRow | None = None,
) -> VM | None:
    """The API value of a VM, None if there is no VM (a row without a domain is one only while it is being created).

    `volumes` maps (pool, name) to the volumes of the same host, `addresses` are the leases there. `crash` is the row of
    its last crash.
    """
    if known is None:
        being_created = row is not None and operation is not None and operation.kind == "vm.create"
        return _planned_vm(host, row, operation) if being_created and row is not None else None
    facts = known.facts
    state, since, reason, last = _state(host, known, operation, crash)
    disks = [_disk(disk, volumes, with_host=row is None) for disk in facts.disks]
    return VM(
        id=facts.uuid,
        name=facts.name,
        host=host.id,
        state=state,
        state_since=since,
        seen_at=known.seen_at,
        last_state=last,
        booted_at=known.booted_at,
        preserved=facts.preserved,
        reason=reason,
        tenant=row.tenant if row else None,
        owner=row.owner if row else None,
        vcpus=facts.vcpus,
        memory_bytes=facts.memory_bytes,
        disks=disks,
        nics=[_nic(nic, facts.state, addresses) for nic in facts.nics],
        tags=row.tags if row else {},
        # The tier of its first disk; until that is known, the requested tier.
        tier=next((disk.tier for disk in disks if disk.tier), row.tier if row else None),
        protected=row.protected if row else False,
        unmanaged=row is None,
        transient=not facts.persistent,
        guest_agent=facts.guest_agent,
        simulated=host.simulated,
        virtualization=facts.virtualization,
        description=facts.description,
        created_at=row.created_at if row else None,
        updated_at=row.updated_at if row else None,
        generation=row.generation if row else 0,
        operation_id=operation.id if operation else None,
        duplicate_on=duplicate_on,
    )


_Shown = tuple[State, datetime | None, str, State | None]
"""State, since when, its reason, and the last known state while the state is unknown."""


def _state(host: HostView, known: KnownDomain, operation: Operation | None, crash: CrashRow | None) -> _Shown:
    state, since, reason = _reported(known, crash)
    if host.status is not HostStatus.UP:
        return State.UNKNOWN, host.down_since, public_reason(host.detail), state
    if known.remembered:
        return State.UNKNOWN, None, "not read since the server was started", state
    transitional = _TRANSITIONAL.get((operation.kind, state)) if operation else None
    if operation and transitional:
        return transitional, operation.started_at or operation.created_at, "", None
    return state, since, reason, None


def _reported(known: KnownDomain, crash: CrashRow | None) -> tuple[State, datetime | None, str]:
    """What the host reported last, and what is known of the VM's last crash."""
    facts = known.facts
    current = current_crash(facts, known.state_since, crash)
    if current is None:
        return facts.state, known.state_since, facts.reason
    if current.acknowledged_at is None or facts.preserved:
        return State.CRASHED, current.at, current.reason
    return State.STOPPED, current.acknowledged_at, f"crash acknowledged by {current.acknowledged_by}"


def _planned_vm(host: HostView, row: VMRow, operation: Operation | None) -> VM:
    try:
        requested = msgspec.convert(row.spec, VMCreate)
    except msgspec.ValidationError:  # of an older version, or edited: the VM is shown as far as its row tells
        requested = VMCreate(name=row.name, image="")
    return VM(
        id=row.id,
        name=row.name,
        host=host.id,
        state=State.PROVISIONING,
        state_since=row.created_at,
        tenant=row.tenant,
        owner=row.owner,
        vcpus=requested.vcpus,
        memory_bytes=requested.memory_bytes,
        tags=row.tags,
        tier=row.tier,
        simulated=host.simulated,
        description=row.description,
        created_at=row.created_at,
        updated_at=row.updated_at,
        generation=row.generation,
        operation_id=operation.id if operation else None,
    )


def _nic(nic: NICFacts, state: State, addresses: Addresses) -> NIC:
    # A lease outlives its guest: a VM that does not run has no address.
    known = () if state in _OFF else addresses.get((nic.network, nic.mac.lower()), ())
    return NIC(mac=nic.mac, network=nic.network, model=nic.model, addresses=list(known))


def _disk(disk: DiskFacts, volumes: Mapping[tuple[str, str], Volume], *, with_host: bool) -> Disk:
    volume = volumes.get((disk.pool, disk.volume))
    return Disk(
        target=disk.target,
        device=disk.device,
        bus=disk.bus,
        format=disk.format,
        volume=volume.id if volume else None,
        source=f"{disk.pool}/{disk.volume}" if disk.volume else _source_name(disk.path, with_host=with_host),
        size_bytes=volume.size_bytes if volume else None,
        read_only=disk.read_only,
        tier=volume.tier if volume else None,
    )


def _source_name(path: str, *, with_host: bool) -> str:
    """The name of a file, or protocol and name of a network disk. On which host it is, only administrators are told:
    not of the VMs of a tenant, which its members see."""
    if path.startswith("/dev/disk/") and not with_host:
        return "block device"  # its name may be an address or a serial number
    if path.startswith("/"):
        return path.rpartition("/")[2]
    if with_host:
        return path
    protocol, _, place = path.partition(":")
    name = place.rpartition("/")[2]
    return f"{protocol}:{name}" if name and not (place.startswith("//") and place.count("/") == 2) else protocol


def compose_host(host: HostView) -> APIHost:
    """The API value of a host. What changes by itself is None while it does not respond."""
    facts, is_up = host.facts, host.status is HostStatus.UP
    return APIHost(
        id=host.id,
        name=host.name,
        uri=host.uri,
        status=host.status,
        simulated=host.simulated,
        virtualization=facts.virtualization if facts else "",
        detail=host.detail,
        seen_at=host.seen_at,
        latency_ms=host.latency_ms if is_up else None,
        cpus=facts.cpus if facts else None,
        memory_bytes=facts.memory_bytes if facts else None,
        memory_free_bytes=facts.memory_free_bytes if facts and is_up else None,
        libvirt_version=facts.libvirt_version if facts else "",
        hypervisor_version=facts.hypervisor_version if facts else "",
        networks=list(facts.networks) if facts else [],
    )
