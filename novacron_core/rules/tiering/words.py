"""A recommendation as a sentence, with the numbers that it is made from."""

from __future__ import annotations

from novacron_core.rules.tiering.advice import Advice, TierSpace, Why, density
from novacron_core.rules.tiering.disks import DiskState
from novacron_core.values.ages import age_text
from novacron_core.values.sizes import size_text


def advice_text(
    advice: Advice,
    disk: DiskState,
    spaces: tuple[TierSpace, TierSpace],
    fills: tuple[float, float, float, float],
    room_for: str = "",
) -> str:
    """`spaces` are those of the source and the target; `fills` their used shares: of the source before and after the move,
    then of the target. `room_for` names the volume that needs the place."""
    source, target = spaces
    parts = [_why(advice, disk, fills[0], room_for)]
    if source.p50_ms is not None and target.p50_ms is not None:
        parts.append(f"{advice.source} answers in {_ms(source)}, {advice.target} in {_ms(target)}")
    parts.append(f"copies {size_text(advice.size_bytes)} in about {age_text(max(1.0, advice.copy_s))}")
    for tier, before, after in ((advice.source, *fills[:2]), (advice.target, *fills[2:])):
        parts.append(f"{tier} {before:.0%} to {after:.0%}")
    return "; ".join(parts)


def _why(advice: Advice, disk: DiskState, full: float, room_for: str) -> str:
    rate = f"{operations_text(min(disk.fast, disk.slow))} operations/s"
    per_gib, line = operations_text(density(disk)), operations_text(advice.line)
    if advice.why is Why.HOT and advice.together:
        per_gib = operations_text(advice.together)
        return f"{rate}; with the disks it stays with {per_gib} per GiB, and {advice.target} takes from {line}"
    if advice.why is Why.HOT:
        return f"{rate} over a day and a week: {per_gib} per GiB, and {advice.target} takes from {line}"
    if room_for:
        return f"makes room for {room_for}, which is hotter: this one has {rate}"
    if advice.why is Why.SPACE:
        return f"{advice.source} is {full:.0%} full, and this is the coldest there: {rate}"
    return f"no operation for {age_text(disk.idle_s)}, {operations_text(disk.slow)} operations/s over a week"


def operations_text(value: float) -> str:
    """Operations per second, as short as they mean something: `1,240`, `21`, `3.4`, `0.05`."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _ms(space: TierSpace) -> str:
    if space.p90_ms is None:
        return f"{operations_text(space.p50_ms or 0.0)} ms (declared)"
    return f"{operations_text(space.p50_ms or 0.0)} ms (9 of 10 within {operations_text(space.p90_ms)} ms)"
