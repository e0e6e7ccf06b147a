"""Metrics over time."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P

MAX_POINTS = 2000

MAX_RANGE_DAYS = 366


class Metric(StrEnum):
    """The stored metrics. Values are averages; CPU and memory also have a minimum and maximum, rates a maximum."""

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
    """One metric over time: `average[i]` covers the `step_s` seconds from `start` + i steps, null where there is no
    data. `min` and `max` are the extremes of the same interval, empty where not stored."""

    average: list[float | None]
    max: list[float | None] = []
    min: list[float | None] = []


class History(Value, frozen=True):
    """`source` is `samples` (every reading) or `minutes` (aggregated); `age_s` is the age of the newest value."""

    subject: str
    start: Time
    step_s: float
    points: int
    source: str
    curves: dict[str, Curve]
    age_s: float | None = None


class RangeQuery(Request, frozen=True, rename={"from_": "from"}):
    """The time range (RFC 3339 with a time zone; by default the last hour) and the number of points."""

    from_: Time | None = None
    to: Time | None = None
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 120


class HistoryQuery(Request, frozen=True, rename={"from_": "from"}):
    """`subject` is `fleet`, `host:ID` or `vm:ID`; `metric` is one Metric, or several separated by commas."""

    subject: Annotated[str, Meta(max_length=64)] = "fleet"
    metric: Annotated[str, Meta(max_length=256)] = Metric.CPU_PERCENT.value
    from_: Time | None = None
    to: Time | None = None
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 120


HISTORY = endpoint("GET /api/monitoring/history", History, P.VM_READ, query=HistoryQuery, summary="Metrics over time")

OF_VM = endpoint(
    "GET /api/vm/vms/{vm_id}/metrics", History, P.VM_READ, query=RangeQuery, summary="All metrics of one VM over time"
)
