"""Counters of a host and its running domains, as libvirt reports them.

Counters only rise while a domain runs, and restart at zero when it is started again. A missing value is None, never 0.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Group = Literal["quick", "disks"]
"""What is read in one call: CPU, memory and network are cheap; disks cost QEMU more and are read less often."""


class DiskCounters(msgspec.Struct, frozen=True, gc=False):
    """A disk by its target (`vda`): bytes and requests since the guest was started, and how long these requests took
    together, None if unknown."""

    target: str
    read_bytes: int
    reads: int
    written_bytes: int
    writes: int
    took_ns: int | None = None


class NICCounters(msgspec.Struct, frozen=True, gc=False):
    """A network interface by its name on the host, seen from the guest: bytes since it was attached."""

    name: str
    received_bytes: int
    sent_bytes: int


class DomainCounters(msgspec.Struct, frozen=True, gc=False):
    """One running domain. `run` is libvirt's id of this run: counters of different runs cannot be compared.

    `at` is when it was read, in seconds of a monotonic clock (CLOCK_BOOTTIME of this machine).
    `memory_updated` changes whenever the guest's balloon driver has reported new values.
    """

    uuid: str
    run: int
    at: float
    cpu_ns: int | None = None
    memory_given_bytes: int | None = None
    memory_seen_bytes: int | None = None
    """The part of the given memory that the guest's kernel can use."""
    memory_available_bytes: int | None = None
    """What the guest can still allocate without swapping."""
    memory_updated: int | None = None
    nics: tuple[NICCounters, ...] | None = None
    disks: tuple[DiskCounters, ...] | None = None


class HostCounters(msgspec.Struct, frozen=True, gc=False):
    """The physical machine: CPU time since boot, and current memory."""

    at: float
    busy_ns: int | None = None
    idle_ns: int | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One read of a host's counters. `took_s` is how long the call took."""

    group: Group
    time: datetime
    at: float
    took_s: float
    domains: list[DomainCounters]
    host: HostCounters | None = None
