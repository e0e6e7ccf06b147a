"""Metrics: what VMs and hosts use, now and before.

A missing number is null, never 0. Rates are per second, averaged between two readings; CPU is in cores and in percent of
what was given; memory is what the guest's own kernel cannot give away (its balloon driver tells).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from novacron_core.api.base import Page, Request, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class Usage(Value, frozen=True):
    """What VMs use, one or many."""

    cpu_cores: float | None = None
    cpu_percent: float | None = None
    """Of the vCPUs of the VMs that have the number."""
    memory_used_bytes: int | None = None
    memory_given_bytes: int | None = None
    disk_read_bytes_s: int | None = None
    disk_write_bytes_s: int | None = None
    disk_reads_s: float | None = None
    disk_writes_s: float | None = None
    net_received_bytes_s: int | None = None
    net_sent_bytes_s: int | None = None


class UsageTotals(Usage, frozen=True):
    """The sum over `vms` running VMs. A number is the sum over those that have it, null when none has."""

    vms: int = 0


class DiskUsage(Value, frozen=True):
    """A disk of a VM, by its target (`vda`)."""

    target: str
    read_bytes_s: int
    write_bytes_s: int
    reads_s: float
    writes_s: float


class VMUsage(Usage, frozen=True, kw_only=True):
    """A VM's newest numbers. `time` is when they were read (null: never), `age_s` how long that is ago.

    `source` is `libvirt`, or `simulator` for numbers that libvirt's test driver makes up. `disks` are as old as
    `disk_age_s` says on top of `age_s`.
    """

    vm: str
    name: str
    host: str
    source: str
    time: datetime | None = None
    age_s: float | None = None
    note: str = ""
    """Why there are no numbers at all: it does not run, its host does not answer."""
    memory_age_s: float | None = None
    memory_note: str = ""
    disk_age_s: float | None = None
    disks: list[DiskUsage] = []


class HostUsage(Value, frozen=True):
    """A host's newest numbers, and the sum over those of its VMs that the reader may see."""

    host: str
    name: str
    source: str
    time: datetime | None = None
    age_s: float | None = None
    note: str = ""
    cpu_cores: float | None = None
    cpu_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    period_s: float | None = None
    vms: UsageTotals = UsageTotals()


class FleetUsage(Value, frozen=True):
    """The fleet as this reader sees it."""

    time: datetime
    fleet: UsageTotals
    hosts: list[HostUsage]
    age_s: float | None = None
    """The age of the oldest number in `fleet`."""
    source: str = "libvirt"


class TopQuery(Request, frozen=True):
    """The VMs that use most of something. `q` is filter text."""

    top: Literal["cpu", "memory", "disk", "net"] = "cpu"
    q: Annotated[str, Meta(max_length=500)] = ""
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=1000)] = 10


NOW = endpoint("GET /api/monitoring/metrics", FleetUsage, P.VM_READ, summary="What the fleet and its hosts use now")

TOP = endpoint("GET /api/monitoring/vms", Page[VMUsage], P.VM_READ, query=TopQuery, summary="The VMs that use most")

PROMETHEUS = endpoint(
    "GET /metrics", bytes, P.PUBLIC, kind="bytes", summary="For Prometheus: this machine, or its own token"
)
