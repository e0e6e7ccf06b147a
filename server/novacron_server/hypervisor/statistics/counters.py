"""What a host and its running domains have counted so far: plain values, as libvirt tells them.

Counters only rise while a domain runs, and begin again when it is started anew. A missing number is None, never 0.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

Group = Literal["quick", "disks"]
"""What is read together: CPU, memory and network are cheap; disks cost QEMU more and are read less often."""


class DiskCounters(msgspec.Struct, frozen=True, gc=False):
    """A disk by its target (`vda`): bytes and requests since the guest was started."""

    target: str
    read_bytes: int
    reads: int
    written_bytes: int
    writes: int


class NICCounters(msgspec.Struct, frozen=True, gc=False):
    """A network card by the host's name for it, seen from the guest: bytes since it was plugged in."""

    name: str
    received_bytes: int
    sent_bytes: int


class DomainCounters(msgspec.Struct, frozen=True, gc=False):
    """One running domain. `run` is libvirt's number of this run of it: another number, other counters.

    `at` is when it was asked, in seconds of a clock that nobody sets (CLOCK_BOOTTIME of this machine).
    `memory_told` changes whenever the guest's balloon driver has told its numbers anew.
    """

    uuid: str
    run: int
    at: float
    cpu_ns: int | None = None
    memory_given_bytes: int | None = None
    memory_seen_bytes: int | None = None
    """What the guest's kernel sees of what it was given."""
    memory_available_bytes: int | None = None
    """What the guest could still use without swapping."""
    memory_told: int | None = None
    nics: tuple[NICCounters, ...] | None = None
    disks: tuple[DiskCounters, ...] | None = None


class HostCounters(msgspec.Struct, frozen=True, gc=False):
    """The machine under the guests: CPU time since it was booted, and its memory now."""

    at: float
    busy_ns: int | None = None
    idle_ns: int | None = None
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a host. `took_s` is how long the host was busy with it."""

    group: Group
    time: datetime
    at: float
    took_s: float
    domains: list[DomainCounters]
    host: HostCounters | None = None
