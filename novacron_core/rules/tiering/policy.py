"""The settings of storage advice: when a disk should move, and when a move pays."""

from __future__ import annotations

import msgspec

from novacron_core.rules.tiering.heat import DAY_S
from novacron_core.values.sizes import MIB


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Ratios are parts of 1, times are seconds."""

    observe_s: float = DAY_S
    """No advice about a disk that was observed for less: one busy hour says nothing."""
    evaluations: int = 3
    """How often running a disk must be above the line: a burst must not move it."""
    floor: float = 0.02
    """The lowest line, in weighted operations per second and GiB: what is below is served well by any tier."""
    demote_below: float = 0.5
    """Part of the line below which a disk is cold: the gap to the line keeps one that is near it where it is."""
    idle_warm_s: float = 7 * DAY_S
    """Without an operation for this long, a cold disk may go to the warm tier."""
    idle_cold_s: float = 30 * DAY_S
    """The same for the cold tier: monthly work has come back by then."""
    high_mark: float = 0.80
    """Part of a tier's space above which disks leave it, and up to which disks are moved into it."""
    low_mark: float = 0.75
    """What they leave it down to."""
    spare: float = 0.10
    """Part of a tier's space that a move leaves free, whatever the marks are."""
    payback: float = 3.0
    """How many times the latency that a move saves in `horizon_s` must be the time that it copies."""
    horizon_s: float = 7 * DAY_S
    gain: float = 0.10
    """Part by which the latency must improve."""
    copy_bytes_s: float = 60 * MIB
    """The rate at which a copy is expected to run, for its costs."""
    cooldown_s: float = DAY_S
    """After a move, a disk stays for this long."""
    return_s: float = 7 * DAY_S
    """And for this long it does not go back where it came from."""
