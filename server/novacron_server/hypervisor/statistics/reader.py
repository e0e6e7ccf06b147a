"""Reads the counters of a host and its running domains, in one call if libvirt supports it. Blocks: run in a thread.

With NOWAIT the values that require a query to QEMU are left out for a domain that is busy with a job (a migration, a
snapshot), so that one busy guest never delays the read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import libvirt

from novacron_server.hypervisor.faults import code_of
from novacron_server.hypervisor.statistics.counters import (
    DiskCounters,
    DomainCounters,
    Group,
    HostCounters,
    NICCounters,
    Reading,
)

Devices = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
"""Domain UUID → its disks' targets and its interfaces' MAC addresses, for hosts without bulk statistics."""

_KIB = 1024
_QUICK = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
)
_STATS = {"quick": _QUICK, "disks": libvirt.VIR_DOMAIN_STATS_BLOCK}
_FLAGS = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT


def clock() -> float:
    """Seconds of a monotonic clock that includes suspend (CLOCK_BOOTTIME). Rates are computed with it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(connection: Any, group: Group, one_by_one: Devices | None = None) -> Reading:
    """Read all counters once. With `one_by_one` (the simulator) each domain is read separately. Raises libvirtError."""
    began = clock()
    if one_by_one is None:
        domains = _read_bulk(connection, group, began)
    else:
        active = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        found = (_read_one(domain, group, one_by_one) for domain in active)
        domains = [counters for counters in found if counters is not None]
    took_s = clock() - began
    host = _read_host(connection) if group == "quick" else None
    return Reading(group=group, time=datetime.now(UTC), at=began + took_s, took_s=took_s, domains=domains, host=host)


def _read_bulk(connection: Any, group: Group, began: float) -> list[DomainCounters]:
    records = connection.getAllDomainStats(_STATS[group], _FLAGS)
    # libvirt reads them one after the other, so each gets its own estimated time within the call.
    step = (clock() - began) / max(1, len(records))
    convert = _quick if group == "quick" else _with_disks
    return [
        convert(str(domain.UUIDString()), domain.ID(), began + step * number, stats)
        for number, (domain, stats) in enumerate(records, 1)
    ]


def _quick(uuid: str, run: int, at: float, stats: dict[str, Any]) -> DomainCounters:
    get = stats.get
    usable = get("balloon.usable", get("balloon.unused"))
    return DomainCounters(
        uuid,
        run,
        at,
        get("cpu.time"),
        _bytes(get("balloon.current")),
        _bytes(get("balloon.available")),
        _bytes(usable),
        get("balloon.last-update") or None,
        _nics(stats, get("net.count", 0)),
    )


def _nics(stats: dict[str, Any], count: int) -> tuple[NICCounters, ...] | None:
    """None if there are interfaces without counters: QEMU's user networking has none."""
    found = [
        NICCounters(str(stats[f"{key}.name"]), stats[f"{key}.rx.bytes"], stats[f"{key}.tx.bytes"])
        for key in (f"net.{number}" for number in range(count))
        if f"{key}.rx.bytes" in stats and f"{key}.tx.bytes" in stats
    ]
    return tuple(found) if found else None


def _with_disks(uuid: str, run: int, at: float, stats: dict[str, Any]) -> DomainCounters:
    get = stats.get
    found = [
        DiskCounters(
            str(stats[f"{key}.name"]),
            stats[f"{key}.rd.bytes"],
            get(f"{key}.rd.reqs", 0),
            get(f"{key}.wr.bytes", 0),
            get(f"{key}.wr.reqs", 0),
            _sum(get(f"{key}.rd.times"), get(f"{key}.wr.times")),
        )
        for key in (f"block.{number}" for number in range(get("block.count", 0)))
        if f"{key}.rd.bytes" in stats
    ]
    return DomainCounters(uuid, run, at, disks=tuple(found) if found else None)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


def _read_one(domain: Any, group: Group, devices: Devices) -> DomainCounters | None:
    uuid = str(domain.UUIDString())
    disks, macs = devices.get(uuid, ((), ()))
    try:
        if group == "disks":
            counters = tuple(_disk(target, domain.blockStats(target)) for target in disks)
            return DomainCounters(uuid, domain.ID(), clock(), disks=counters or None)
        _, _, given_kib, _, cpu_ns = domain.info()
        memory = domain.memoryStats()
        nics = tuple(NICCounters(mac, *_net(domain.interfaceStats(mac))) for mac in macs)
        return DomainCounters(
            uuid,
            domain.ID(),
            clock(),
            cpu_ns,
            _bytes(given_kib),
            _bytes(memory.get("available")),
            _bytes(memory.get("usable")),
            memory.get("last_update"),
            nics or None,
        )
    except libvirt.libvirtError as error:
        # It stopped, or lost a device, between the listing and the read: there are no counters now.
        if code_of(error) in (
            libvirt.VIR_ERR_NO_DOMAIN,
            libvirt.VIR_ERR_OPERATION_INVALID,
            libvirt.VIR_ERR_INVALID_ARG,
        ):
            return None
        raise


def _disk(target: str, stats: Any) -> DiskCounters:
    reads, read_bytes, writes, written_bytes = stats[:4]
    return DiskCounters(target, read_bytes, reads, written_bytes, writes)


def _net(stats: Any) -> tuple[int, int]:
    return stats[0], stats[4]


def _read_host(connection: Any) -> HostCounters:
    busy = idle = None
    try:
        spent = connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
        busy = spent["user"] + spent["kernel"]
        idle = spent["idle"] + spent.get("iowait", 0)
    except (libvirt.libvirtError, KeyError):
        busy = idle = None  # not every host reports CPU time
    memory = _host_memory(connection)
    total, free = memory.get("total"), memory.get("free")
    if total is None or free is None:
        return HostCounters(clock(), busy, idle)
    used = total - free - memory.get("buffers", 0) - memory.get("cached", 0)
    return HostCounters(clock(), busy, idle, total * _KIB, max(0, used) * _KIB)


def _host_memory(connection: Any) -> dict[str, int]:
    try:
        return dict(connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS))
    except libvirt.libvirtError:
        return {}


def _bytes(kib: int | None) -> int | None:
    return None if kib is None else kib * _KIB


def set_memory_period(connection: Any, uuid: str, period_s: int) -> None:
    """Set how often a guest's balloon driver reports its statistics, in seconds, now and after its next start."""
    domain = connection.lookupByUUIDString(uuid)
    if domain.isActive():
        domain.setMemoryStatsPeriod(period_s, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if domain.isPersistent():  # not both in one call: the simulator supports only one at a time
        domain.setMemoryStatsPeriod(period_s, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
