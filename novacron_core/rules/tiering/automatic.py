"""Which of the advised moves the server begins by itself now, and why not the others. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from novacron_core.api.automatic import AutomaticPolicy
from novacron_core.api.tiering import StoragePolicy
from novacron_core.rules.tiering.advice import Advice
from novacron_core.rules.tiering.words import operations_text
from novacron_core.values.ages import age_text
from novacron_core.values.tiers import TierName, TierPair, pair_of

MAX_RETRY_S = 86_400.0
"""The longest pause after failures."""


class Held(StrEnum):
    """Why a move does not begin."""

    WINDOW = "window"
    TURN = "turn"
    SLOW = "slow"
    FAILED = "failed"
    ROOM = "room"
    REFUSED = "refused"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True, kw_only=True)
class TierNow:
    """A tier of a host. `used_bytes` counts the copies under way as done. `p90_ms` is that of the last minutes, `usual_ms`
    the median of the day's; None: unknown."""

    capacity_bytes: int
    used_bytes: int
    p90_ms: float | None = None
    usual_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairNow:
    """A pair of tiers of a host. `moving` is the volume that is being moved now, as a name. `failures` is how many moves
    running did not succeed, the last one `failed_ago_s` ago."""

    is_open: bool = True
    moving: str = ""
    failures: int = 0
    failed_ago_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MoveVerdict:
    """What is decided about an advised move: `held` is None if it begins now, otherwise `reason` says why not."""

    advice: Advice
    held: Held | None = None
    reason: str = ""


def why_slow(tier: TierName, now: TierNow, policy: AutomaticPolicy) -> str:
    """Why nothing should be copied from or to a tier now, as a sentence; empty when it answers well."""
    if now.p90_ms is None:
        return ""
    words = f"{tier} is slow: 9 of 10 requests within {operations_text(now.p90_ms)} ms"
    if now.p90_ms > policy.stop_ms:
        return f"{words}, and the limit is {policy.stop_ms:g} ms"
    if now.usual_ms is not None and now.p90_ms > max(policy.calm_ms, policy.stop_ratio * now.usual_ms):
        return f"{words}, usually {operations_text(now.usual_ms)} ms"
    return ""


def why_pair_waits(
    source: TierName,
    target: TierName,
    policy: AutomaticPolicy,
    now: PairNow,
    tiers: Mapping[TierName, TierNow],
) -> tuple[Held, str] | None:
    """Why no move between two tiers begins now, whichever it is."""
    pair = pair_of(source, target)
    if now.moving:
        return Held.TURN, f"one move at a time: {now.moving} is being moved from {source} to {target}"
    if not now.is_open:
        return Held.WINDOW, f"moves from {source} to {target} begin at {policy.pairs[pair].window} {policy.time_zone}"
    if now.failures:
        wait_s = min(MAX_RETRY_S, policy.retry_s * 2.0 ** min(now.failures - 1, 16)) - now.failed_ago_s
        if wait_s > 0:
            after = "the last move" if now.failures == 1 else f"{now.failures} moves running"
            return (
                Held.FAILED,
                f"{after} from {source} to {target} did not succeed: next try in {age_text(max(1, wait_s))}",
            )
    for tier in (source, target):
        if why := why_slow(tier, tiers[tier], policy):
            return Held.SLOW, why
    return None


def considered(advised: Sequence[tuple[Advice, str]], policy: AutomaticPolicy, most: int) -> list[tuple[Advice, str]]:
    """The advice to decide about, in its order: of each pair that is turned on at most so much, what is refused last."""
    counts: dict[TierPair, int] = {}
    kept = set[str]()
    for advice, _ in sorted(advised, key=lambda each: bool(each[1])):
        pair = pair_of(advice.source, advice.target)
        if _on(policy, advice.source, advice.target) and counts.get(pair, 0) < most:
            counts[pair] = counts.get(pair, 0) + 1
            kept.add(advice.disk)
    return [each for each in advised if each[0].disk in kept]


def decide(
    advised: Sequence[tuple[Advice, str]],
    policy: StoragePolicy,
    tiers: Mapping[TierName, TierNow],
    pairs: Mapping[TierPair, PairNow],
) -> list[MoveVerdict]:
    """What to do about the advice for one host, in its order: each with why it is refused, empty if it is not. Advice for
    pairs that are not turned on is left out. At most one move of each pair begins, and none that would fill its target
    over the marks."""
    automatic = policy.automatic
    if not automatic.enabled:
        return []
    used = {tier: now.used_bytes for tier, now in tiers.items()}
    busy: dict[TierPair, PairNow] = dict(pairs)
    could = {
        advice.disk: (advice.source, advice.target)
        for advice, refused in advised
        if not refused and _on(automatic, advice.source, advice.target)
    }
    found = list[MoveVerdict]()
    reasons = {advice.disk: (advice, refused) for advice, refused in advised}
    for advice, refused in advised:
        if not _on(automatic, advice.source, advice.target):
            continue
        pair = pair_of(advice.source, advice.target)
        verdict = _verdict(advice, refused, policy, tiers, used, busy.get(pair, PairNow()))
        if verdict.held is None and advice.members:
            verdict = _with_others(verdict, reasons, policy, tiers, used)
        if verdict.held is None and advice.makes_room_for:
            verdict = _for_another(verdict, could.get(advice.makes_room_for), policy, tiers, pairs)
        found.append(verdict)
        if verdict.held is None:
            used[advice.target] += advice.size_bytes  # the source's room is free when the copy is done
            busy[pair] = PairNow(moving="another volume")
    return found


def _on(policy: AutomaticPolicy, source: TierName, target: TierName) -> bool:
    pair = policy.pairs.get(pair_of(source, target))
    return policy.enabled and pair is not None and pair.enabled


def _verdict(
    advice: Advice,
    refused: str,
    policy: StoragePolicy,
    tiers: Mapping[TierName, TierNow],
    used: Mapping[TierName, int],
    pair: PairNow,
) -> MoveVerdict:
    if refused:
        return MoveVerdict(advice, Held.REFUSED, refused)
    if waits := why_pair_waits(advice.source, advice.target, policy.automatic, pair, tiers):
        return MoveVerdict(advice, *waits)
    limit = min(policy.high_mark, 1.0 - policy.spare)
    if used[advice.target] + advice.size_bytes > tiers[advice.target].capacity_bytes * limit:
        return MoveVerdict(advice, Held.ROOM, f"there is no room in {advice.target} below {limit:.0%} yet")
    return MoveVerdict(advice)


def _with_others(
    verdict: MoveVerdict,
    advised: Mapping[str, tuple[Advice, str]],
    policy: StoragePolicy,
    tiers: Mapping[TierName, TierNow],
    used: Mapping[TierName, int],
) -> MoveVerdict:
    """Of disks that stay together none begins unless each may, and there is room for all."""
    advice, needed = verdict.advice, 0
    for member in advice.members:
        other = advised.get(member)
        if other is None:
            return MoveVerdict(advice, Held.PARTNER, "a disk that it stays with does not move now")
        if other[1]:
            return MoveVerdict(advice, Held.PARTNER, f"a disk that it stays with does not move: {other[1]}")
        needed += other[0].size_bytes
    limit = min(policy.high_mark, 1.0 - policy.spare)
    if used[advice.target] + needed > tiers[advice.target].capacity_bytes * limit:
        return MoveVerdict(advice, Held.ROOM, f"there is no room in {advice.target} for it and what it stays with yet")
    return verdict


def _for_another(
    verdict: MoveVerdict,
    partner: tuple[TierName, TierName] | None,
    policy: StoragePolicy,
    tiers: Mapping[TierName, TierNow],
    pairs: Mapping[TierPair, PairNow],
) -> MoveVerdict:
    """What makes room for a hotter volume stays where it is as long as that one does."""
    if partner is None:
        return MoveVerdict(verdict.advice, Held.PARTNER, "the volume that it makes room for does not move by itself")
    waits = why_pair_waits(*partner, policy.automatic, pairs.get(pair_of(*partner), PairNow()), tiers)
    if waits and waits[0] is not Held.TURN:
        return MoveVerdict(verdict.advice, Held.PARTNER, f"the volume that it makes room for waits: {waits[1]}")
    return verdict
