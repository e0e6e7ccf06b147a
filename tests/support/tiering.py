"""Workloads of disks over weeks, and their replay against ways of choosing tiers: the trace simulator of storage advice."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering import advice, heat
from novacron_core.rules.tiering.advice import TierSpace
from novacron_core.rules.tiering.disks import DiskState
from novacron_core.values.sizes import GIB, KIB
from novacron_core.values.tiers import TierName

HOUR_S = 3600.0
DAY_H = 24
LARGE = 512 * KIB
"""Bytes of an operation of a backup or a scan; all others have 8 KiB."""
SMALL = 8 * KIB
Shape = Callable[[Random, int], "Work"]


@dataclass(frozen=True)
class Work:
    """Operations of each hour, small and large ones."""

    small: array[float]
    large: array[float]


@dataclass(frozen=True)
class Volume:
    """A disk with its workload; `born` is the hour of its creation."""

    name: str
    kind: str
    size_bytes: int
    work: Work
    born: int = 0

    def size_at(self, hour: int) -> int:
        if self.kind != "growing":
            return self.size_bytes
        return int(self.size_bytes * (1.0 + hour / (DAY_H * 60)))


# -- workloads ------------------------------------------------------------------------------------------------------------


def _hours(hours: int, rate: Callable[[int], float], random: Random) -> array[float]:
    """Operations of each hour by a rate per second, with noise."""
    return array("d", (max(0.0, rate(hour)) * HOUR_S * random.uniform(0.7, 1.3) for hour in range(hours)))


def _none(hours: int) -> array[float]:
    return array("d", bytes(8 * hours))


def _base(random: Random) -> float:
    """A rate in operations per second: few disks do most of the work."""
    return random.lognormvariate(1.0, 1.6)


def _works(hour: int) -> bool:
    return hour // DAY_H % 7 < 5 and 8 <= hour % DAY_H < 18


def _steady(random: Random, hours: int) -> Work:
    rate = _base(random)
    return Work(_hours(hours, lambda _: rate, random), _none(hours))


def _diurnal(random: Random, hours: int) -> Work:
    rate = 2 * _base(random)
    return Work(_hours(hours, lambda h: rate if _works(h) else rate / 30, random), _none(hours))


def _weekly(random: Random, hours: int) -> Work:
    rate, day = 5 * _base(random), random.randrange(7)
    return Work(_hours(hours, lambda h: rate if h // DAY_H % 7 == day else 0.01, random), _none(hours))


def _monthly(random: Random, hours: int) -> Work:
    rate = 8 * _base(random)
    return Work(_hours(hours, lambda h: rate if h // DAY_H % 30 >= 27 else 0.02, random), _none(hours))


def _scan(random: Random, hours: int) -> Work:
    at, large = random.randrange(DAY_H, hours), _none(hours)
    for hour in range(at, min(at + 6, hours)):
        large[hour] = 60 * HOUR_S
    return Work(_hours(hours, lambda _: 0.05, random), large)


def _backup(random: Random, hours: int) -> Work:
    rate, at = _base(random) / 5, random.randrange(DAY_H)
    large = array("d", (40 * HOUR_S if hour % DAY_H == at else 0.0 for hour in range(hours)))
    return Work(_hours(hours, lambda _: rate, random), large)


def _growing(random: Random, hours: int) -> Work:
    rate = _base(random)
    return Work(_hours(hours, lambda h: rate * 3 * h / hours, random), _none(hours))


def _dying(random: Random, hours: int) -> Work:
    rate, end = 2 * _base(random), random.randrange(hours // 4, hours)
    return Work(_hours(hours, lambda h: rate if h < end else 0.0, random), _none(hours))


def _pingpong(random: Random, hours: int) -> Work:
    """Every third day busy, around what the line is."""
    phase = random.randrange(3)
    return Work(_hours(hours, lambda h: 9.0 if (h // DAY_H + phase) % 3 == 0 else 0.3, random), _none(hours))


def _cold_start(random: Random, hours: int) -> Work:
    rate, begin = 2 * _base(random), random.randrange(hours * 3 // 4)
    return Work(_hours(hours, lambda h: rate if h >= begin else 0.0, random), _none(hours))


SHAPES: dict[str, tuple[float, Shape]] = {
    "steady": (0.25, _steady),
    "diurnal": (0.20, _diurnal),
    "weekly": (0.06, _weekly),
    "monthly": (0.06, _monthly),
    "scan": (0.08, _scan),
    "backup": (0.12, _backup),
    "growing": (0.06, _growing),
    "dying": (0.06, _dying),
    "ping-pong": (0.05, _pingpong),
    "cold start": (0.06, _cold_start),
}
"""Kinds of workloads, and the part of the volumes that have them."""


def fleet(count: int, days: int, seed: int = 1) -> list[Volume]:
    """Volumes of 8 to some hundred GiB."""
    random, volumes = Random(seed), list[Volume]()
    for kind, (part, shape) in SHAPES.items():
        for number in range(max(1, round(count * part))):
            size = int(min(800, max(8, random.lognormvariate(3.4, 0.9)))) * GIB
            work = shape(random, days * DAY_H)
            born = next((hour for hour, done in enumerate(work.small) if done), 0) if kind == "cold start" else 0
            volumes.append(Volume(f"{kind}-{number}", kind, size, work, born))
    return volumes


# -- replay ---------------------------------------------------------------------------------------------------------------


@dataclass
class Placement:
    """Where the volumes are, and what moving them has cost. New volumes are warm."""

    volumes: list[Volume]
    hot_bytes: int
    tiers: dict[str, TierName] = field(default_factory=dict)
    moved_at: dict[str, int] = field(default_factory=dict)
    came_from: dict[str, TierName] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    copied_bytes: int = 0
    moves: int = 0
    returns: dict[str, int] = field(default_factory=dict)
    """By kind: moves back to where a volume came from less than 7 days before."""

    def __post_init__(self) -> None:
        self.by_name = {volume.name: volume for volume in self.volumes}

    def used(self, tier: TierName) -> int:
        return sum(size for name, size in self.sizes.items() if self.tiers[name] == tier)

    def move(self, name: str, target: TierName, hour: int) -> None:
        source = self.tiers[name]
        if source == target:
            return
        if self.came_from.get(name) == target and hour - self.moved_at[name] < 7 * DAY_H:
            kind = self.by_name[name].kind
            self.returns[kind] = self.returns.get(kind, 0) + 1
        self.tiers[name], self.moved_at[name], self.came_from[name] = target, hour, source
        self.copied_bytes += self.sizes[name]
        self.moves += 1

    def fill_hot(self, ranked: Iterable[str], hour: int) -> None:
        """Put the first ones that fit into the hot tier, and the others into the warm one. What was moved does not go back
        for seven days, the same cooldown for all choosers."""
        stays = {name for name, at in self.moved_at.items() if hour - at < 7 * DAY_H}
        room = self.hot_bytes - sum(self.sizes[name] for name in stays if self.tiers[name] == "hot")
        chosen = {name for name in stays if self.tiers[name] == "hot"}
        for name in ranked:
            if name not in stays and self.sizes[name] <= room:
                room -= self.sizes[name]
                chosen.add(name)
        for name in sorted(self.sizes):
            if name not in stays:
                self.move(name, "hot" if name in chosen else "warm", hour)


Chooser = Callable[[Placement, int], None]
"""Moves volumes at the beginning of an hour, knowing the hours before."""


@dataclass(frozen=True)
class Outcome:
    """`hot` is the part of all operations that were done in the hot tier; `returns` moves back within 7 days, by kind."""

    hot: float
    copied_bytes: int
    moves: int
    returns: dict[str, int]


def replay(volumes: list[Volume], days: int, hot_bytes: int, choose: Chooser) -> Outcome:
    """Replay the workloads hour by hour. Moves take no time, for all choosers alike."""
    place = Placement(volumes, hot_bytes)
    served = total = 0.0
    for hour in range(days * DAY_H):
        for volume in volumes:
            if hour >= volume.born:
                place.sizes[volume.name] = volume.size_at(hour)
                place.tiers.setdefault(volume.name, "warm")
        choose(place, hour)
        for volume in volumes:
            if hour >= volume.born:
                done = volume.work.small[hour] + volume.work.large[hour]
                total += done
                if place.tiers[volume.name] == "hot":
                    served += done
    return Outcome(served / total, place.copied_bytes, place.moves, place.returns)


class Ours:
    """The advice of the product, accepted as it comes."""

    def __init__(self, policy: StoragePolicy) -> None:
        self.policy = policy
        self.heats: dict[str, heat.Heat] = {}
        self.above: dict[str, int] = {}

    def __call__(self, place: Placement, hour: int) -> None:
        now = hour * HOUR_S
        for name in place.sizes:
            work, known = place.by_name[name].work, self.heats.get(name)
            if known is None:
                self.heats[name] = heat.Heat(at=now)
            else:
                small, large = work.small[hour - 1], work.large[hour - 1]
                # Each kind of operations is weighted by its own size: readings are far shorter than an hour.
                done = small + heat.weighted(large, large * LARGE)
                self.heats[name] = heat.observed(known, now, done)
        disks = [self._disk(place, name, hour) for name in place.sizes]
        spaces: dict[TierName, TierSpace] = {
            "hot": TierSpace(capacity_bytes=place.hot_bytes, used_bytes=place.used("hot"), p50_ms=0.8, p90_ms=2.0),
            "warm": TierSpace(capacity_bytes=2**60, used_bytes=place.used("warm"), p50_ms=6.0, p90_ms=9.1),
        }
        evaluation = advice.evaluate(disks, spaces, self.policy)
        self.above = evaluation.above
        for item in evaluation.advice:
            place.move(item.disk, item.target, hour)

    def _disk(self, place: Placement, name: str, hour: int) -> DiskState:
        found, now = self.heats[name], hour * HOUR_S
        rates = heat.rates(found, now)
        return DiskState(
            id=name,
            tier=place.tiers[name],
            size_bytes=place.sizes[name],
            fast=rates.fast,
            slow=rates.slow,
            idle_s=now - found.accessed_at if found.accessed_at is not None else found.observed_s,
            observed_s=found.observed_s,
            above=self.above.get(name, 0),
            moved_ago_s=(hour - place.moved_at[name]) * HOUR_S if name in place.moved_at else math.inf,
            came_from=place.came_from.get(name),
        )


class Autotier:
    """The popularity that autotier publishes: a moving average whose inertia grows with a file's age, as files are sorted
    and put into tiers each period."""

    START_S, FULL_S, REACHED_S = 50_000.0, 1_000_000.0, 604_800.0

    def __init__(self) -> None:
        self.popularity: dict[str, float] = {}

    def __call__(self, place: Placement, hour: int) -> None:
        for name in place.sizes:
            volume = place.by_name[name]
            if hour <= volume.born:
                self.popularity[name] = 0.238 * HOUR_S
                continue
            done = volume.work.small[hour - 1] + volume.work.large[hour - 1]
            age_s = (hour - volume.born) * HOUR_S
            slope = (self.FULL_S - self.START_S) / self.REACHED_S
            damping = min(self.START_S + age_s * slope, self.FULL_S) / HOUR_S
            self.popularity[name] += (done - self.popularity[name]) / damping
        place.fill_hot(sorted(place.sizes, key=lambda name: (-self.popularity[name], name)), hour)


class Original:
    """The formula that NovaCron had: `f = 0.7 f + 0.3/(days since the last access)` at each access, evaluated every four
    hours. An hour with operations counts as one access, as a day divided by 24."""

    def __init__(self) -> None:
        self.frequency: dict[str, float] = {}
        self.last: dict[str, int] = {}

    def __call__(self, place: Placement, hour: int) -> None:
        for name in place.sizes:
            work = place.by_name[name].work
            if hour and work.small[hour - 1] + work.large[hour - 1] >= HOUR_S * 0.1:
                days = max(1, hour - 1 - self.last.get(name, hour - 25)) / DAY_H
                self.frequency[name] = 0.7 * self.frequency.get(name, 0.0) + 0.3 / days
                self.last[name] = hour - 1
        if hour % 4 == 0:
            place.fill_hot(sorted(place.sizes, key=lambda name: (-self.frequency.get(name, 0.0), name)), hour)


def lru(place: Placement, hour: int) -> None:
    """Each night, what was used most on the day before, as the day's last use goes: by its last hour and how much."""
    if hour % DAY_H or not hour:
        return

    def last(name: str) -> tuple[int, float]:
        work = place.by_name[name].work
        for at in range(hour - 1, max(-1, hour - 30 * DAY_H), -1):
            if done := work.small[at] + work.large[at]:
                return -at, -done
        return 0, 0.0

    place.fill_hot(sorted(place.sizes, key=lambda name: (*last(name), name)), hour)


def oracle(place: Placement, hour: int) -> None:
    """Knows the next day."""
    if hour % DAY_H:
        return

    def next_day(name: str) -> float:
        work = place.by_name[name].work
        return (sum(work.small[hour : hour + DAY_H]) + sum(work.large[hour : hour + DAY_H])) / place.sizes[name]

    place.fill_hot(sorted(place.sizes, key=lambda name: (-next_day(name), name)), hour)


def choosers(policy: StoragePolicy) -> Mapping[str, Chooser]:
    return {
        "ours": Ours(policy),
        "autotier": Autotier(),
        "original": Original(),
        "LRU by day": lru,
        "oracle": oracle,
    }
