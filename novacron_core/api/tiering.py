"""Storage by heat: how hot each volume is."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import ListQuery, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P

MAX_POINTS = 1000
MAX_DAYS = 400


class VolumeHeat(Value, frozen=True, kw_only=True):
    """How hot a volume is, as of `as_of`: later values are not known (a host that does not respond, a guest whose QEMU
    gives no counters).

    `fast` and `slow` are averages in weighted operations per second, with half-lives of a day and of a week: an operation
    of more than 64 KiB counts less, so that a backup does not make a disk hot. `heat` is the lower of both per GiB that the
    volume takes: what it is ranked by. `observed_s` is for how long it was watched.
    The sums are of all that was seen since. `accessed_at` is null if no operation was ever seen. `sequential` is the share,
    0 to 1, of the readings with operations whose mean size looks like a backup, a scan or a copy.
    """

    id: str
    name: str
    host: str
    tier: str | None = None
    vm: str | None = None
    allocated_bytes: int = 0
    heat: float
    fast: float
    slow: float
    observed_s: float
    as_of: Time
    accessed_at: Time | None = None
    reads: int = 0
    writes: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    mean_bytes: int | None = None
    sequential: float | None = None


class HeatHistory(Value, frozen=True):
    """A volume over time: value i covers the `step_s` seconds from `start` + i steps, null where no running VM had the
    volume or nobody looked. `latency_ms` is null too where nothing was asked of it.

    `hours` are the mean weighted operations per second in each hour of the day (UTC) over the whole time.
    """

    now: VolumeHeat
    start: Time
    step_s: float
    operations_s: list[float | None]
    weighted_s: list[float | None]
    bytes_s: list[float | None]
    latency_ms: list[float | None]
    hours: list[float | None]


class HeatQuery(Request, frozen=True):
    """How many days back, in at most how many points. A point is at least an hour."""

    days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] = 30
    points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] = 200


LIST = endpoint(
    "GET /api/storage/heat", Page[VolumeHeat], P.VOLUME_READ, query=ListQuery, summary="Rank volumes by heat"
)
OF_VOLUME = endpoint(
    "GET /api/storage/volumes/{volume_id}/heat",
    HeatHistory,
    P.VOLUME_READ,
    query=HeatQuery,
    summary="Heat of a volume over time",
)
