"""Metrics: what VMs and hosts use, now and before.

A missing number is null, never 0. Rates are per second, averaged between two readings; CPU is in cores and in percent of
what was given; memory is what the guest's own kernel cannot give away (its balloon driver tells).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from novacron_core.api.base import Page, Request, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.rules.permissions import Permission as P

MAX_POINTS = 2000
MAX_RANGE_DAYS = 366


class VMSample(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A VM's numbers at one moment, sent as a JSON array in this order; new ones are only ever added at the end."""

    cpu_cores: float | None = None
    cpu_percent: float | None = None
    """Of its vCPUs."""
    memory_used_bytes: int | None = None
    memory_given_bytes: int | None = None
    disk_read_bytes_s: int | None = None
    disk_write_bytes_s: int | None = None
    disk_reads_s: float | None = None
    disk_writes_s: float | None = None
    net_received_bytes_s: int | None = None
    net_sent_bytes_s: int | None = None
    disk_age_s: float | None = None
    """How much older than the sample the disk numbers are."""
    memory_age_s: float | None = None
    """How much older than the sample the used memory is."""
    memory_note: str = ""
    """Why there is no used memory."""

    @property
    def memory_percent(self) -> float | None:
        """Used of given."""
        used, given = self.memory_used_bytes, self.memory_given_bytes
        return used / given * 100 if used is not None and given else None

    @property
    def disk_bytes_s(self) -> int | None:
        """Both ways."""
        return _both(self.disk_read_bytes_s, self.disk_write_bytes_s)

    @property
    def net_bytes_s(self) -> int | None:
        """Both ways."""
        return _both(self.net_received_bytes_s, self.net_sent_bytes_s)


def _both(first: int | None, second: int | None) -> int | None:
    return None if first is None and second is None else (first or 0) + (second or 0)


class HostSample(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A host's numbers at one moment, sent as a JSON array in this order."""

    cpu_cores: float | None = None
    cpu_percent: float | None = None
    memory_used_bytes: int | None = None
    memory_bytes: int | None = None
    period_s: float = 0.0
    """How far apart its rounds are now: more on a host where reading them costs much."""


class Used(Value, frozen=True):
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


class Totals(Used, frozen=True):
    """The sum over `vms` running VMs. A number is the sum over those that have it, null when none has."""

    vms: int = 0


class DiskNow(Value, frozen=True):
    """A disk of a VM, by its target (`vda`)."""

    target: str
    read_bytes_s: int
    write_bytes_s: int
    reads_s: float
    writes_s: float


class VMNow(Used, frozen=True, kw_only=True):
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
    disks: list[DiskNow] = []


class HostNow(Value, frozen=True):
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
    vms: Totals = Totals()


class Now(Value, frozen=True):
    """The fleet as this reader sees it."""

    time: datetime
    fleet: Totals
    hosts: list[HostNow]
    age_s: float | None = None
    """The age of the oldest number in `fleet`."""
    source: str = "libvirt"


class Metric(StrEnum):
    """What is kept over time. Values are averages; CPU and memory have minimum and maximum too, rates a maximum."""

    CPU_CORES = "cpu_cores"
    CPU_PERCENT = "cpu_percent"
    MEMORY_USED = "memory_used_bytes"
    MEMORY_GIVEN = "memory_given_bytes"
    DISK_READ = "disk_read_bytes_s"
    DISK_WRITE = "disk_write_bytes_s"
    DISK_READS = "disk_reads_s"
    DISK_WRITES = "disk_writes_s"
    NET_RECEIVED = "net_received_bytes_s"
    NET_SENT = "net_sent_bytes_s"


class Curve(Value, frozen=True):
    """One metric over time: `average[i]` is over the `step_s` seconds from `start` + i steps; null where there is no
    number, so a gap is a gap. `least` and `most` are the extremes in the same interval, empty where not kept."""

    average: list[float | None]
    most: list[float | None] = []
    least: list[float | None] = []


class History(Value, frozen=True):
    """`source` is `samples` (every reading) or `minutes` (rolled up); `age_s` how old the newest number is."""

    subject: str
    start: datetime
    step_s: float
    points: int
    source: str
    curves: dict[str, Curve]
    age_s: float | None = None


class RangeQuery(Request, frozen=True, rename={"from_": "from"}):
    """From when to when (RFC 3339 with a zone; the last hour by default), in how many points."""

    from_: Annotated[datetime, Meta(tz=True)] | None = None
    to: Annotated[datetime, Meta(tz=True)] | None = None
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 120


class HistoryQuery(Request, frozen=True, rename={"from_": "from"}):
    """`subject` is `fleet`, `host:ID` or `vm:ID`; `metric` one of Metric, or several with commas between."""

    subject: Annotated[str, Meta(max_length=64)] = "fleet"
    metric: Annotated[str, Meta(max_length=256)] = Metric.CPU_PERCENT.value
    from_: Annotated[datetime, Meta(tz=True)] | None = None
    to: Annotated[datetime, Meta(tz=True)] | None = None
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 120


class TopQuery(Request, frozen=True):
    """The VMs that use most of something. `q` is filter text."""

    top: Literal["cpu", "memory", "disk", "net"] = "cpu"
    q: Annotated[str, Meta(max_length=500)] = ""
    page: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    page_size: Annotated[int, Meta(ge=1, le=1000)] = 10


NOW = endpoint("GET /api/monitoring/metrics", Now, P.VM_READ, summary="What the fleet and its hosts use now")
TOP = endpoint("GET /api/monitoring/vms", Page[VMNow], P.VM_READ, query=TopQuery, summary="The VMs that use most")
HISTORY = endpoint("GET /api/monitoring/history", History, P.VM_READ, query=HistoryQuery, summary="Metrics over time")
PROMETHEUS = endpoint(
    "GET /metrics", bytes, P.PUBLIC, kind="bytes", summary="For Prometheus: this machine, or its own token"
)
OF_VM = endpoint(
    "GET /api/vm/vms/{vm_id}/metrics", History, P.VM_READ, query=RangeQuery, summary="All metrics of one VM over time"
)
