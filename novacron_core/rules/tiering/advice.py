"""Which disks should move between tiers, and why. Pure: the state of the fleet in, recommendations out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering.disks import DiskState
from novacron_core.rules.tiering.groups import join
from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TIERS, TierName


class TierSpace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tier at the time of an evaluation. The latencies are those of its disks in the last day, None when unknown."""

    capacity_bytes: int
    used_bytes: int
    p50_ms: float | None = None
    p90_ms: float | None = None


class Why(StrEnum):
    """What a recommendation is for."""

    HOT = "hot"
    COLD = "cold"
    SPACE = "space"


class Advice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A recommended move. `saved_s` is the waiting that it saves within the policy's horizon, negative when it adds some;
    `copy_s` the time that the copy is expected to take. `makes_room_for` is the disk that takes its place."""

    disk: str
    source: TierName
    target: TierName
    why: Why
    size_bytes: int
    fast: float
    slow: float
    line: float
    """The heat per GiB of which it is above, or below."""
    saved_s: float
    copy_s: float
    makes_room_for: str = ""
    together: float = 0.0
    """The heat per GiB of all the disks that it moves together with; 0 if it moves alone."""
    members: tuple[str, ...] = ()
    """These disks, with itself; empty if it moves alone."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """`advice` is in the order in which to carry it out. `above` counts on for the next evaluation, of the disks that are
    above a line; `lines` is the lowest heat per GiB that belongs in each tier."""

    advice: list[Advice]
    above: dict[str, int]
    lines: dict[TierName, float]


def evaluate(disks: Sequence[DiskState], spaces: Mapping[TierName, TierSpace], policy: StoragePolicy) -> Evaluation:
    """What should move now. Tiers without a `TierSpace` take part in nothing. The same state gives the same advice."""
    return _Round(disks, spaces, policy).evaluate()


def density(disk: DiskState) -> float:
    """Heat per GiB that has lasted: the lower of both averages."""
    return _per_gib(min(disk.fast, disk.slow), disk)


@dataclass
class _Round:
    """One evaluation: `used` is the space in each tier after the advice so far."""

    disks: Sequence[DiskState]
    spaces: Mapping[TierName, TierSpace]
    policy: StoragePolicy
    advice: list[Advice] = field(default_factory=list)
    moved: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.disks, self.members = join((each for each in self.disks if each.tier in self.spaces), self.policy.return_s)
        self.prices = {tier: declared.cost_per_gib_month or 0.0 for tier, declared in self.policy.tiers.items()}
        self.cost = math.fsum(self._cost(disk, disk.tier) for disk in self.disks)
        self.used = {tier: space.used_bytes for tier, space in self.spaces.items()}
        self.tiers = [tier for tier in TIERS if tier in self.spaces]

    def evaluate(self) -> Evaluation:
        lines = self._lines()
        wanted = {disk.id: self._wanted(disk, lines) for disk in self.disks}
        above = {
            each.id: disk.above + 1
            for disk in self.disks
            if wanted[disk.id]
            for each in self.members.get(disk.id, (disk,))
        }
        for tier in reversed(self.tiers):  # so that what leaves a fast tier finds room in the next one
            self._relieve(tier, lines)
        self._demote_idle(lines)
        self._promote([disk for disk in self.disks if above.get(disk.id, 0) >= self.policy.evaluations], wanted, lines)
        return Evaluation(advice=self.advice, above=above, lines=lines)

    # -- lines -------------------------------------------------------------------------------------------------------

    def _lines(self) -> dict[TierName, float]:
        """The heat per GiB at which each tier would be full to its low mark, if the hottest disks were in it."""
        ranked = sorted(self.disks, key=lambda disk: (-density(disk), disk.id))
        lines: dict[TierName, float] = {}
        at = 0
        for tier in self.tiers[:-1]:
            whole = room = self.spaces[tier].capacity_bytes * self.policy.low_mark
            line = self.policy.floor
            while at < len(ranked):
                if ranked[at].size_bytes > whole:  # it is for no such tier, and says nothing of the others
                    at += 1
                    continue
                if (room := room - ranked[at].size_bytes) < 0:
                    line = max(line, density(ranked[at]))
                    break
                at += 1
            lines[tier] = line
        if self.tiers:
            lines[self.tiers[-1]] = 0.0
        return lines

    def _wanted(self, disk: DiskState, lines: Mapping[TierName, float]) -> list[TierName]:
        """The tiers above whose line a disk is and that are faster than its own, the fastest first."""
        faster = self.tiers[: self.tiers.index(disk.tier)]
        return [tier for tier in faster if density(disk) >= max(lines[tier], 1e-12)]

    # -- what may move -----------------------------------------------------------------------------------------------

    def _may_move(self, disk: DiskState, target: TierName) -> bool:
        policy = self.policy
        return (
            not disk.refused
            and disk.id not in self.moved
            and disk.observed_s >= policy.observe_s
            and disk.moved_ago_s >= policy.cooldown_s
            and not (disk.came_from == target and disk.moved_ago_s < policy.return_s)
        )

    def _fits(self, tier: TierName, size_bytes: int, mark: float) -> bool:
        space = self.spaces[tier]
        limit = min(mark, 1.0 - self.policy.spare)
        return self.used[tier] + size_bytes <= space.capacity_bytes * limit

    def _slower(self, tier: TierName) -> list[TierName]:
        return self.tiers[self.tiers.index(tier) + 1 :]

    # -- demotion ----------------------------------------------------------------------------------------------------

    def _relieve(self, tier: TierName, lines: Mapping[TierName, float]) -> None:
        """TierSpace outranks heat: above the high mark the coldest disks leave a tier, down to its low mark."""
        space, policy = self.spaces[tier], self.policy
        if self.used[tier] <= space.capacity_bytes * policy.high_mark:
            return
        for disk in self._coldest(tier):
            if self.used[tier] <= space.capacity_bytes * policy.low_mark:
                return
            for target in self._slower(tier):
                if self._may_move(disk, target) and self._fits(target, disk.size_bytes, policy.high_mark):
                    self._move(disk, target, Why.SPACE, lines[tier])
                    break

    def _demote_idle(self, lines: Mapping[TierName, float]) -> None:
        policy = self.policy
        idle_s: dict[TierName, float] = {"hot": 0.0, "warm": policy.idle_warm_s, "cold": policy.idle_cold_s}
        for tier in self.tiers[:-1]:
            for disk in self._coldest(tier):
                if _per_gib(disk.slow, disk) >= lines[tier] * policy.demote_below:
                    break
                for target in reversed(self._slower(tier)):
                    if (
                        disk.idle_s >= idle_s[target]
                        and self._may_move(disk, target)
                        and self._fits(target, disk.size_bytes, policy.high_mark)
                    ):
                        self._move(disk, target, Why.COLD, lines[tier])
                        break

    def _coldest(self, tier: TierName) -> list[DiskState]:
        here = [disk for disk in self.disks if disk.tier == tier and disk.id not in self.moved]
        return sorted(here, key=lambda disk: (_per_gib(disk.slow, disk), disk.id))

    # -- promotion ---------------------------------------------------------------------------------------------------

    def _promote(
        self, ready: list[DiskState], wanted: Mapping[str, list[TierName]], lines: Mapping[TierName, float]
    ) -> None:
        """Hottest first, each into the fastest tier that takes it. Where there is no room, disks that are colder than half
        of it make some. What finds none is not overtaken by a colder disk that needs as much: room that a move makes is for
        the hotter one, in the next evaluation."""
        passed = dict[TierName, int]()
        colder = {
            tier: [disk for disk in self._coldest(tier) if any(self._may_move(disk, to) for to in self._slower(tier))]
            for tier in self.tiers
        }
        for disk in sorted(ready, key=lambda disk: (-density(disk), disk.id)):
            for target in wanted[disk.id]:
                needed = disk.size_bytes
                if (
                    self._may_move(disk, target)
                    and self._gains(disk, target)
                    and needed < passed.get(target, needed + 1)
                ):
                    leaving = self._room(target, disk, colder[target])
                    if (
                        leaving is not None
                        and self._pays(disk, target, leaving)
                        and self._affords(disk, target, leaving)
                    ):
                        for other, to in leaving:
                            self._move(other, to, Why.SPACE, lines[target], disk.id)
                        self._move(disk, target, Why.HOT, lines[target])
                        break
                    passed[target] = needed

    def _pays(self, disk: DiskState, target: TierName, leaving: Sequence[tuple[DiskState, TierName]]) -> bool:
        copied = disk.size_bytes + sum(other.size_bytes for other, _ in leaving)
        saved = self._saved_s(disk, target) + sum(self._saved_s(other, to) for other, to in leaving)
        return saved >= self.policy.payback * copied / self.policy.copy_bytes_s

    def _affords(self, disk: DiskState, target: TierName, leaving: Sequence[tuple[DiskState, TierName]]) -> bool:
        """Whether the moves leave the disks within the budget, or at least make nothing dearer."""
        if self.policy.budget_month is None:
            return True
        more = sum(self._cost(each, to) - self._cost(each, each.tier) for each, to in ((disk, target), *leaving))
        return more <= 0 or self.cost + more <= self.policy.budget_month

    def _cost(self, disk: DiskState, tier: TierName) -> float:
        """What a disk costs in a month in a tier; a tier without a price costs nothing."""
        return disk.size_bytes / GIB * self.prices.get(tier, 0.0)

    def _room(
        self, tier: TierName, disk: DiskState, colder: Sequence[DiskState]
    ) -> list[tuple[DiskState, TierName]] | None:
        """What must leave a tier so that the disk fits, None if that is not possible."""
        policy, leaving = self.policy, list[tuple[DiskState, TierName]]()
        need, into = disk.size_bytes, dict[TierName, int]()
        for other in colder:
            if self._fits(tier, need, policy.high_mark):
                break
            if _per_gib(max(other.fast, other.slow), other) >= density(disk) * policy.demote_below:
                continue
            for target in self._slower(tier):
                taken = into.get(target, 0) + other.size_bytes
                if self._may_move(other, target) and self._fits(target, taken, policy.high_mark):
                    leaving.append((other, target))
                    into[target] = taken
                    need -= other.size_bytes
                    break
        return leaving if self._fits(tier, need, policy.high_mark) else None

    def _gains(self, disk: DiskState, target: TierName) -> bool:
        """Whether the latency improves enough. Of a tier without a measured latency nothing is promised."""
        now, then = self.spaces[disk.tier].p50_ms, self.spaces[target].p50_ms
        return now is not None and then is not None and now - then >= self.policy.gain * now

    def _saved_s(self, disk: DiskState, target: TierName) -> float:
        now, then = self.spaces[disk.tier].p50_ms, self.spaces[target].p50_ms
        if now is None or then is None:
            return 0.0
        return (now - then) / 1000 * min(disk.fast, disk.slow) * self.policy.horizon_s

    def _move(self, disk: DiskState, target: TierName, why: Why, line: float, makes_room_for: str = "") -> None:
        self.used[disk.tier] -= disk.size_bytes
        self.used[target] += disk.size_bytes
        self.cost += self._cost(disk, target) - self._cost(disk, disk.tier)
        self.moved.add(disk.id)
        members = self.members.get(disk.id)
        for each in members or (disk,):
            self.advice.append(
                Advice(
                    disk=each.id,
                    source=each.tier,
                    target=target,
                    why=why,
                    size_bytes=each.size_bytes,
                    fast=each.fast,
                    slow=each.slow,
                    line=line,
                    saved_s=self._saved_s(each, target),
                    copy_s=each.size_bytes / self.policy.copy_bytes_s,
                    makes_room_for=makes_room_for,
                    together=density(disk) if members else 0.0,
                    members=tuple(member.id for member in members or ()),
                )
            )


def _per_gib(heat: float, disk: DiskState) -> float:
    return heat / max(disk.size_bytes / GIB, 1e-9)
