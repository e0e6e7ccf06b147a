"""What should move between the tiers of each host: the state of the fleet for the pure rules, and their answer for readers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from novacron_core.api.tiering import Recommendation, StorageAdvice, StoragePolicy, TierForecast
from novacron_core.api.volumes import HIDDEN_VM, Volume
from novacron_core.rules.tiering.advice import Advice, TierSpace, density, evaluate
from novacron_core.rules.tiering.classes import cost_month, price_of
from novacron_core.rules.tiering.disks import DiskState
from novacron_core.rules.tiering.heat import ROLES
from novacron_core.rules.tiering.words import advice_text
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume
from novacron_core.values.sizes import GIB, MIB
from novacron_core.values.tiers import TIERS, TierName, tier_named
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.subjects import host_word
from novacron_server.tiering.book import HeatBook
from novacron_server.tiering.rounding import significant
from novacron_server.tiering.spaces import tiers_of

SHARE, _CHEAP_S = 20, 0.02
_HOST = "\0host"
"""In a note: the host, whose name not every reader is told."""
EVERY_S = 3600.0
"""An evaluation counts how often running each volume was above the line."""


@dataclass
class HostState:
    """The disks, by volume, and tiers of one host, for the rules, and notes on the tiers that take part in nothing."""

    disks: dict[str, DiskState]
    spaces: dict[TierName, TierSpace]
    notes: list[str]


Evaluated = tuple[str, HostState, list[tuple[Advice, str]]]
"""A host's id, its state, and what is advised, each with why it is refused."""


class Advisor:
    """`policy` is the one in force. `run` is a background task."""

    def __init__(self, inventory: Inventory, book: HeatBook, policy: StoragePolicy) -> None:
        self._inventory, self._book = inventory, book
        self.policy = policy
        self._last: tuple[float, StoragePolicy, list[Evaluated]] | None = None
        self._evaluating = asyncio.Lock()

    async def run(self) -> None:
        """Evaluate every hour until cancelled, so that what is above the line for long is told from a burst."""
        while True:
            await asyncio.sleep(max(1.0, EVERY_S / self._book.clock.speed))
            await self.count()

    def forget(self) -> None:
        """Evaluate anew when somebody asks: an operator has changed what is evaluated."""
        self._last = None

    async def count(self) -> None:
        """Evaluate, and count for each volume how often running it was above the line."""
        for host_id in list(self._inventory.state.views):
            state, policy = self._state(host_id), self.policy
            found = await asyncio.to_thread(evaluate, list(state.disks.values()), state.spaces, policy)
            above = found.above
            for volume_id in state.disks:
                known = self._book.volumes.get(volume_id)
                if known is not None and known.above != above.get(volume_id, 0):
                    known.above = above.get(volume_id, 0)
                    self._book.changed.add(volume_id)

    async def advice(self, principal: Principal, only: Collection[str] = ()) -> StorageAdvice:
        """What should move now of what the principal sees, and the tiers afterwards. With `only`, a dry run of these."""
        evaluated = await self.evaluated()
        seen = {volume.id: volume for volume in self._inventory.volumes(principal)}
        recommendations: list[Recommendation] = []
        forecasts: list[TierForecast] = []
        notes: list[str] = []
        for host_id, state, found in evaluated:
            notes += [note.replace(_HOST, host_word(self._inventory.state.views[host_id].name)) for note in state.notes]
            used = {tier: space.used_bytes for tier, space in state.spaces.items()}
            for advice, refused in found:
                if advice.disk in seen and (not only or advice.disk in only):
                    recommendations.append(self._recommend(advice, refused, state, used, seen))
            forecasts += self._forecast(host_id, state, used)
        return StorageAdvice(
            recommendations=recommendations,
            tiers=forecasts,
            notes=sorted(set(notes)),
            cost_month=self._cost(seen.values()),
            saves_month=self._savings(recommendations),
            at=datetime.fromtimestamp(self._book.clock.now(), UTC),
        )

    def spaces(self, host_id: str) -> dict[TierName, TierSpace]:
        """The tiers of a host that volumes move between, as they are now."""
        return self._spaces(host_id, self._book.clock.now())[0]

    @staticmethod
    def text(state: HostState, advice: Advice) -> str:
        """The advice as a sentence that names no other volume, for whoever sees this one."""
        source, target = state.spaces[advice.source], state.spaces[advice.target]
        fills = (
            source.used_bytes / source.capacity_bytes,
            (source.used_bytes - advice.size_bytes) / source.capacity_bytes,
            target.used_bytes / target.capacity_bytes,
            (target.used_bytes + advice.size_bytes) / target.capacity_bytes,
        )
        advice = msgspec.structs.replace(advice, line=significant(advice.line, 1))
        name = "another volume" if advice.makes_room_for else ""
        return advice_text(advice, state.disks[advice.disk], (source, target), fills, name)

    # -- for the rules -----------------------------------------------------------------------------------------------

    async def evaluated(self) -> list[Evaluated]:
        """What the rules say of each host. An answer that took long is given again for SHARE times as long: however often
        somebody asks, a small part of the time goes into it."""
        async with self._evaluating:
            if self._last is not None and time.monotonic() < self._last[0] and self._last[1] is self.policy:
                return self._last[2]
            began = time.monotonic()
            states = [(host_id, self._state(host_id)) for host_id in self._inventory.state.views]
            evaluated = await asyncio.to_thread(lambda: [(*each, self._evaluate(each[1])) for each in states])
            took_s = time.monotonic() - began
            self._last = (began + took_s * SHARE if took_s > _CHEAP_S else 0.0, self.policy, evaluated)
            return evaluated

    def _evaluate(self, state: HostState) -> list[tuple[Advice, str]]:
        """The advice, and behind it what would be advised if it were not refused, each with why."""
        disks = list(state.disks.values())
        given = [(each, "") for each in evaluate(disks, state.spaces, self.policy).advice]
        if not any(disk.refused for disk in disks):
            return given
        free = [msgspec.structs.replace(disk, refused="") for disk in disks]
        wished = evaluate(free, state.spaces, self.policy).advice
        return [*given, *((each, why) for each in wished if (why := state.disks[each.disk].refused))]

    def _state(self, host_id: str) -> HostState:
        storage, now = self._inventory.state.storage, self._book.clock.now()
        spaces, notes = self._spaces(host_id, now)
        disks = {
            volume.id: self._disk(volume, now)
            for volume in storage.volumes_on(host_id).values()
            if not volume.unmanaged
            and volume.tier in TIERS
            and volume.id in self._book.volumes
            and volume.role in ROLES
        }
        self._refuse_together(disks)
        return HostState(disks, spaces, notes)

    def _refuse_together(self, disks: dict[str, DiskState]) -> None:
        """What must stay with a disk that cannot move cannot either."""
        refused = {disk.group: disk for disk in disks.values() if disk.group and disk.refused}
        for disk in list(disks.values()):
            if not disk.refused and (other := refused.get(disk.group)) is not None:
                why = f"it stays with another disk of its VM: {other.refused}"
                disks[disk.id] = msgspec.structs.replace(disk, refused=why)

    def _disk(self, volume: Volume, now: float) -> DiskState:
        known = self._book.volumes[volume.id]
        heat, rates = self._book.heat_and_rates(known)
        row = self._inventory.state.storage.volume_rows.get((volume.host, volume.pool, volume.name))
        idle_s = heat.at - heat.accessed_at if heat.accessed_at is not None else heat.observed_s
        moved_at = row.moved_at.timestamp() if row is not None and row.moved_at is not None else None
        return DiskState(
            id=volume.id,
            tier=tier_named(volume.tier),
            size_bytes=max(volume.allocated_bytes, MIB),
            fast=rates.fast,
            slow=rates.slow,
            idle_s=idle_s,
            observed_s=heat.observed_s,
            above=known.above,
            moved_ago_s=now - moved_at if moved_at is not None else float("inf"),
            came_from=tier_named(row.came_from) if row is not None and row.came_from in TIERS else None,
            group=volume.vm or "" if volume.together else "",
            refused=self._why_not(volume),
        )

    def _why_not(self, volume: Volume) -> str:
        """Why a volume does not move now, whoever asks; empty when it can."""
        if volume.pinned:
            return f"{volume.name} is pinned to {volume.tier}"
        if volume.dismissed_until is not None and volume.dismissed_until > datetime.now(UTC):
            why = f": {volume.dismissed_reason}" if volume.dismissed_reason else ""
            return (
                f"the advice about {volume.name} was dismissed until {volume.dismissed_until:%Y-%m-%d %H:%M} UTC{why}"
            )
        state = self._inventory.state
        vm = state.composed((volume.host, volume.vm)) if volume.vm else None
        pool = state.storage.pool_facts(volume.host, volume.pool)
        refused = why_not_volume(
            VolumeAction.MOVE,
            volume,
            vm,
            operation=state.operation_on(volume),
            vm_operation=state.operation_on(vm) if vm is not None else None,
            pool_type=pool.type if pool is not None else "",
        )
        return refused or ""

    def _spaces(self, host_id: str, now: float) -> tuple[dict[TierName, TierSpace], list[str]]:
        """The host's tiers that a volume can move between, and notes on the others."""
        notes = list[str]()
        spaces: dict[TierName, TierSpace] = {}
        for each in tiers_of(self._inventory.state.storage, host_id):
            if each.shares_with is not None:
                notes.append(
                    f"{each.tier} and {each.shares_with} are on the same disk of {_HOST}: a move between them gains nothing"
                )
            else:
                spaces[each.tier] = self._space(host_id, each.tier, each.capacity_bytes, each.used_bytes, now)
        if len(spaces) == 1 and not notes:
            notes.append(f"only {next(iter(spaces))} has a pool on {_HOST}: there is nowhere to move to")
        return spaces, notes

    def _space(self, host_id: str, tier: TierName, capacity: int, used: int, now: float) -> TierSpace:
        measured = self._book.latencies.percentiles(host_id, tier, now)
        declared = self.policy.tiers.get(tier)
        return TierSpace(
            capacity_bytes=capacity,
            used_bytes=used,
            p50_ms=measured[0] if measured else declared.expected_ms if declared else None,
            p90_ms=measured[1] if measured else None,
        )

    # -- for readers -------------------------------------------------------------------------------------------------

    def _recommend(
        self, advice: Advice, refused: str, state: HostState, used: dict[TierName, int], seen: dict[str, Volume]
    ) -> Recommendation:
        """Also moves it in `used`, unless it is refused."""
        volume, disk = seen[advice.disk], state.disks[advice.disk]
        if refused and volume.vm == HIDDEN_VM:
            refused = f"{volume.name} is attached to a VM that you cannot see"
        # To one digit: a line is the heat of a volume that the reader may not see.
        advice = msgspec.structs.replace(advice, line=significant(advice.line, 1))
        source, target = state.spaces[advice.source], state.spaces[advice.target]
        after = {
            advice.source: used[advice.source] - advice.size_bytes,
            advice.target: used[advice.target] + advice.size_bytes,
        }
        fills = (
            used[advice.source] / source.capacity_bytes,
            after[advice.source] / source.capacity_bytes,
            used[advice.target] / target.capacity_bytes,
            after[advice.target] / target.capacity_bytes,
        )
        room_for = seen.get(advice.makes_room_for)
        if not refused:
            used.update(after)
        name = room_for.name if room_for else "another volume" if advice.makes_room_for else ""
        return Recommendation(
            volume=volume.id,
            name=volume.name,
            host=volume.host,
            vm=volume.vm,
            source=advice.source,
            target=advice.target,
            why=str(advice.why),
            size_bytes=advice.size_bytes,
            fast=significant(advice.fast),
            slow=significant(advice.slow),
            heat=significant(density(disk)),
            line=advice.line,
            saved_s=round(advice.saved_s, 1),
            copy_s=round(advice.copy_s, 1),
            makes_room_for=room_for.id if room_for else HIDDEN_VM if advice.makes_room_for else "",
            text=advice_text(advice, disk, (source, target), fills, name),
            refused=refused,
        )

    def _forecast(self, host_id: str, state: HostState, used: dict[TierName, int]) -> Iterable[TierForecast]:
        for tier, space in state.spaces.items():
            declared = self.policy.tiers.get(tier)
            measured = space.p90_ms is not None
            yield TierForecast(
                host=host_id,
                tier=tier,
                capacity_bytes=space.capacity_bytes,
                used_bytes=space.used_bytes,
                used_after_bytes=used[tier],
                p50_ms=significant(space.p50_ms) if measured and space.p50_ms is not None else None,
                p90_ms=significant(space.p90_ms) if space.p90_ms is not None else None,
                expected_ms=declared.expected_ms if declared else None,
            )

    def _cost(self, volumes: Iterable[Volume]) -> float | None:
        """What the volumes cost in a month; None when no tier has a price."""
        costs = [cost_month(self.policy, volume.tier, volume.allocated_bytes) for volume in volumes]
        priced = [cost for cost in costs if cost is not None]
        return round(sum(priced), 2) if priced else None

    def _savings(self, recommendations: Iterable[Recommendation]) -> float | None:
        saved = [
            each.size_bytes / GIB * (before - after)
            for each in recommendations
            if not each.refused
            and (before := price_of(self.policy, each.source)) is not None
            and (after := price_of(self.policy, each.target)) is not None
        ]
        return round(sum(saved), 2) if saved else None
