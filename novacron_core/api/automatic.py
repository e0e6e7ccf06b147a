"""Automatic moves between tiers: which the server may make by itself, and what it has decided."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import ListQuery, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.names import ONE_LINE
from novacron_core.values.roles import Permission as P
from novacron_core.values.sizes import MIB
from novacron_core.values.tiers import TierPair


class PairPolicy(Value, frozen=True):
    """Whether the server makes the advised moves from one tier to another, within which limits."""

    enabled: bool = False
    bandwidth_bytes_s: int = 64 * MIB
    """At most this fast: a copy shares its disks with guests. 0: no limit."""
    window: str = ""
    """When moves begin, as in `values.windows`, by the policy's time zone; empty: at any time."""


class AutomaticPolicy(Value, frozen=True):
    """Off by default, as a whole and for each pair of tiers. On each host, one move at a time per pair."""

    enabled: bool = False
    """The main switch. Turned off, it also cancels the moves under way that the server began."""
    pairs: dict[TierPair, PairPolicy] = {}
    stop_ms: float = 15.0
    """No move while 9 of 10 requests to its source or target take longer than this. Source: VMware Storage DRS."""
    stop_ratio: float = 1.5
    """Nor while they take so many times longer than usual, the median of the day."""
    calm_ms: float = 2.0
    """Below this, no tier counts as slower than usual: twice as slow as almost nothing is still almost nothing."""
    retry_s: float = 3600.0
    """The pause of a pair after a move that failed or had to be stopped; doubled each time, up to a day."""
    time_zone: str = "UTC"
    """Of the windows, e.g. Europe/Berlin."""


class PairChange(Request, frozen=True):
    """The fields of PairPolicy to set; the others stay."""

    enabled: bool | None = None
    bandwidth_bytes_s: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    window: Annotated[str, Meta(pattern=ONE_LINE, max_length=200)] | None = None


class AutomaticChange(Request, frozen=True):
    """The fields of AutomaticPolicy to set; the others stay, also the pairs that are not named."""

    enabled: bool | None = None
    pairs: dict[TierPair, PairChange] | None = None
    stop_ms: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    stop_ratio: Annotated[float, Meta(ge=1, le=1e6)] | None = None
    calm_ms: Annotated[float, Meta(ge=0, le=1e6)] | None = None
    retry_s: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    time_zone: Annotated[str, Meta(pattern=ONE_LINE, max_length=64)] | None = None


class PairStatus(Value, frozen=True, kw_only=True):
    """What the server does by itself between two tiers of a host. `moving` names the volume that it moves now. `waits` is
    why it begins no other move now, as a sentence; empty: it would."""

    host: str
    pair: str
    moving: str = ""
    waits: str = ""


class AutomaticStatus(Value, frozen=True, kw_only=True):
    """`pairs` are those that are turned on, of each host that has both tiers."""

    enabled: bool
    pairs: list[PairStatus] = []


class StorageDecision(Value, frozen=True, kw_only=True):
    """What the server decided about an advised move, and what came of it. Decided `times` times with this result, first at
    `at`, last at `last_at`.

    `result` is `moving`, `moved`, `failed`, `stopped` (by the server: a tier became slow, or automatic moves were turned
    off), `cancelled` (by a person) or `held` (it did not begin). `cause` says in a word why it is held: `window`,
    `turn`, `slow`, `failed`, `room`, `refused`, `partner`; or `off`, also for one that was stopped. `reason` is why, as a
    sentence; `text` the advice with its numbers.
    """

    id: str
    at: Time
    last_at: Time
    times: int = 1
    host: str
    volume: str
    name: str
    source: str
    target: str
    result: str
    cause: str = ""
    reason: str = ""
    text: str = ""
    size_bytes: int = 0
    operation: str | None = None

    @property
    def why(self) -> str:
        """The reason, or else what the advice says first."""
        return self.reason or self.text.split("; ")[0]


STATUS = endpoint(
    "GET /api/storage/automatic", AutomaticStatus, P.VOLUME_READ, summary="What the server moves by itself now"
)
DECISIONS = endpoint(
    "GET /api/storage/decisions",
    Page[StorageDecision],
    P.VOLUME_READ,
    query=ListQuery,
    summary="Which moves the server made or held back, and why, newest first",
)
