"""Storage by heat: how hot each volume is, and what should move because of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from novacron_core.api.automatic import AutomaticChange, AutomaticPolicy
from novacron_core.api.base import ListQuery, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.volumes import Volume
from novacron_core.values.names import ONE_LINE
from novacron_core.values.roles import Permission as P
from novacron_core.values.sizes import MIB
from novacron_core.values.tiers import TierName

MAX_POINTS = 1000
MAX_DAYS = 400


class VolumeHeat(Value, frozen=True, kw_only=True):
    """How hot a disk is, as of `as_of`: later values are not known (a host that does not respond, a guest whose QEMU gives no
    counters). Kernels, initrds and backing files have no heat: no disk counts what is read of them.

    `fast` and `slow` are averages in weighted operations per second, with half-lives of a day and of a week: an operation
    of more than 64 KiB counts less, so that a backup does not make a disk hot. `heat` is the lower of both per GiB that the
    volume takes: what it is ranked by. `observed_s` is for how long it was watched.
    The sums are of all that was seen since. `accessed_at` is null if no operation was ever seen. `sequential` is the share,
    0 to 1, of the readings with operations whose mean size looks like a backup, a scan or a copy. `cost_month` is what its
    space costs by the declared price of its tier, null without one.
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
    cost_month: float | None = None


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


class TierClass(Value, frozen=True):
    """What an operator declares about a tier: what a GiB costs in a month, in any currency, and how fast it is expected to
    be until that was measured. Null: unknown."""

    cost_per_gib_month: float | None = None
    expected_ms: float | None = None
    redundancy: str = ""


class StoragePolicy(Value, frozen=True):
    """When a volume should move to another tier. Ratios are parts of 1, times are in seconds.

    Source of the defaults: the trace simulator (`make bench ARGS=heat`).
    """

    observe_s: float = 86_400
    """No advice about a volume that was watched for less: one busy hour says nothing."""
    evaluations: int = 3
    """How often running, once an hour, a volume must be above the line: a burst must not move it."""
    floor: float = 0.02
    """The lowest line, in weighted operations per second and GiB: what is below is served well by any tier."""
    demote_below: float = 0.5
    """Part of the line below which a volume is cold: the gap to the line keeps one that is near it where it is."""
    idle_warm_s: float = 7 * 86_400
    """Without an operation for this long, a cold volume may go to the warm tier."""
    idle_cold_s: float = 30 * 86_400
    """The same for the cold tier: monthly work has come back by then."""
    high_mark: float = 0.80
    """Part of a tier's space above which volumes leave it, and up to which volumes are moved into it."""
    low_mark: float = 0.75
    """What they leave it down to."""
    spare: float = 0.10
    """Part of a tier's space that a move leaves free, whatever the marks are."""
    payback: float = 3.0
    """How many times the latency that a move saves in `horizon_s` must be the time that it copies."""
    horizon_s: float = 7 * 86_400
    gain: float = 0.10
    """Part by which the latency must improve."""
    copy_bytes_s: float = 60 * MIB
    """The rate at which a copy is expected to run, for its costs."""
    cooldown_s: float = 86_400
    """After a move, a volume stays for this long."""
    return_s: float = 7 * 86_400
    """And for this long it does not go back where it came from."""
    budget_month: float | None = None
    """What the volumes of a host may cost in a month, by the declared prices: no move up is advised that costs more. Null:
    no limit."""
    tiers: dict[TierName, TierClass] = {}
    automatic: AutomaticPolicy = AutomaticPolicy()


_Ratio = Annotated[float, Meta(ge=0, le=1)]
_Seconds = Annotated[float, Meta(ge=0, le=10 * 365 * 86_400)]


class TierClassChange(Request, frozen=True):
    """As TierClass."""

    cost_per_gib_month: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    expected_ms: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    redundancy: Annotated[str, Meta(pattern=ONE_LINE, max_length=200)] = ""


class PolicyChange(Request, frozen=True):
    """The fields of StoragePolicy to set; the others stay, also those within `automatic`. `tiers` replaces those that it
    names."""

    observe_s: _Seconds | None = None
    evaluations: Annotated[int, Meta(ge=1, le=1000)] | None = None
    floor: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    demote_below: _Ratio | None = None
    idle_warm_s: _Seconds | None = None
    idle_cold_s: _Seconds | None = None
    high_mark: _Ratio | None = None
    low_mark: _Ratio | None = None
    spare: _Ratio | None = None
    payback: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    horizon_s: _Seconds | None = None
    gain: _Ratio | None = None
    copy_bytes_s: Annotated[float, Meta(ge=MIB, le=1e15)] | None = None
    cooldown_s: _Seconds | None = None
    return_s: _Seconds | None = None
    budget_month: Annotated[float, Meta(ge=0, le=1e12)] | UnsetType | None = UNSET
    tiers: dict[TierName, TierClassChange] | None = None
    automatic: AutomaticChange | None = None


class Recommendation(Value, frozen=True, kw_only=True):
    """A move that would pay. `why` is `hot`, `cold` or `space` (its tier is too full, or a hotter volume needs its place:
    then `makes_room_for` names it, HIDDEN_VM if the reader may not see that one).

    `fast` and `slow` are its averages in weighted operations per second, `heat` and `line` per GiB: what it has, and what
    belongs in the faster tier. `saved_s` is the waiting that the move saves in the policy's horizon, negative when it adds
    some; `copy_s` how long the copy is expected to take. `text` says all that as a sentence. `refused` is why the server
    would refuse the move now, empty when it would not.
    """

    volume: str
    name: str
    host: str
    vm: str | None = None
    source: str
    target: str
    why: str
    size_bytes: int
    fast: float
    slow: float
    heat: float
    line: float
    saved_s: float
    copy_s: float
    makes_room_for: str = ""
    text: str = ""
    refused: str = ""


class TierForecast(Value, frozen=True, kw_only=True):
    """A tier of one host, now and after all recommended moves that are not refused. The latencies are those of its disks'
    readings in the last day; null: nothing was read, and what was declared counts."""

    host: str
    tier: str
    capacity_bytes: int
    used_bytes: int
    used_after_bytes: int
    p50_ms: float | None = None
    p90_ms: float | None = None
    expected_ms: float | None = None


class StorageAdvice(Value, frozen=True, kw_only=True):
    """What should move now, in the order in which to do it. `notes` say what no advice can be given about, and why.
    `cost_month` is what the reader's volumes cost by the declared classes, `saves_month` what all moves would save."""

    recommendations: list[Recommendation]
    tiers: list[TierForecast]
    notes: list[str] = []
    cost_month: float | None = None
    saves_month: float | None = None
    at: Time


class AdviceQuery(Request, frozen=True):
    """`volumes`: a dry run of the moves of these volumes alone (ids, separated by commas); empty: of all."""

    volumes: Annotated[str, Meta(max_length=8000)] = ""


class PlacementChange(Request, frozen=True):
    """`pinned`: the volume stays where it is. `together`: it moves only with those other disks of its VM that do.
    `dismiss_s`: no advice about it for so long, with a reason; 0: give it again. What is left out stays."""

    pinned: bool | None = None
    together: bool | None = None
    dismiss_s: Annotated[int, Meta(ge=0, le=365 * 86_400)] | None = None
    reason: Annotated[str, Meta(pattern=ONE_LINE, max_length=200)] = ""


ADVICE = endpoint(
    "GET /api/storage/advice", StorageAdvice, P.VOLUME_READ, query=AdviceQuery, summary="What should move, and why"
)
POLICY = endpoint("GET /api/storage/policy", StoragePolicy, P.VOLUME_READ, summary="Show the storage policy")
SET_POLICY = endpoint(
    "PUT /api/storage/policy", StoragePolicy, P.HOST_CHANGE, takes=PolicyChange, summary="Change the storage policy"
)
PLACE = endpoint(
    "PUT /api/storage/volumes/{volume_id}/placement",
    Volume,
    P.VOLUME_CHANGE,
    takes=PlacementChange,
    summary="Pin a volume, or dismiss the advice about it",
)
