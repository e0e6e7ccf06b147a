"""Metrics: current resource usage of VMs and hosts.

An unknown value is null, never 0. Rates are per second, averaged between two readings. CPU is in cores and in percent
of the assigned vCPUs. Memory is what the guest's kernel cannot free, as reported by its balloon driver.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from novacron_core.api.base import Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class Usage(Value, frozen=True):
    """Resource usage of one or more VMs."""

    cpu_cores: float | None = None
    cpu_percent: float | None = None
    """Percent of the vCPUs of those VMs whose usage is known."""
    memory_used_bytes: int | None = None
    memory_given_bytes: int | None = None
    disk_read_bytes_s: int | None = None
    disk_write_bytes_s: int | None = None
    disk_reads_s: float | None = None
    disk_writes_s: float | None = None
    net_received_bytes_s: int | None = None
    net_sent_bytes_s: int | None = None


class UsageTotals(Usage, frozen=True):
    """The sum over `vms` running VMs. A value is the sum over the VMs where it is known, null when it is for none."""

    vms: int = 0


class DiskUsage(Value, frozen=True):
    """A disk of a VM, by its target (`vda`)."""

    target: str
    read_bytes_s: int
    write_bytes_s: int
    reads_s: float
    writes_s: float


class VMUsage(Usage, frozen=True, kw_only=True):
    """A VM's newest metrics. `time` is when they were read (null: never), `age_s` their age.

    `source` is `libvirt`, or `simulator` for values that libvirt's test driver or a demo invents. The age of `disks` is
    `disk_age_s` plus `age_s`.
    """

    vm: str
    name: str
    host: str
    source: str
    time: Time | None = None
    age_s: float | None = None
    note: str = ""
    """Why there are no metrics: the VM is not running, or its host does not respond."""
    memory_age_s: float | None = None
    memory_note: str = ""
    disk_age_s: float | None = None
    disks: list[DiskUsage] = []


class HostUsage(Value, frozen=True):
    """A host's newest metrics, and the sum over its VMs that are visible to the caller."""

    host: str
    name: str
    source: str
    time: Time | None = None
    age_s: float | None = None
    note: str = ""
    cpu_cores: float | None = None
    cpu_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    period_s: float | None = None
    vms: UsageTotals = UsageTotals()


class FleetUsage(Value, frozen=True):
    """All hosts and VMs that are visible to the caller."""

    time: Time
    fleet: UsageTotals
    hosts: list[HostUsage]
    age_s: float | None = None
    """The age of the oldest value in `fleet`."""
    source: str = "libvirt"


class TopQuery(Request, frozen=True):
    """Ranks VMs by usage of a resource. `q` is filter text."""

    top: Literal["cpu", "memory", "disk", "net"] = "cpu"
    q: Annotated[str, Meta(max_length=500)] = ""
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=1000)] = 10


NOW = endpoint("GET /api/monitoring/metrics", FleetUsage, P.VM_READ, summary="Current usage of the fleet and its hosts")

TOP = endpoint("GET /api/monitoring/vms", Page[VMUsage], P.VM_READ, query=TopQuery, summary="VMs ranked by usage")

PROMETHEUS = endpoint(
    "GET /metrics",
    bytes,
    P.PUBLIC,
    kind="bytes",
    summary="Prometheus metrics; from this machine, or with the metrics token",
)
