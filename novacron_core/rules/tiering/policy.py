"""Checks of the settings of storage advice."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from novacron_core.api.automatic import AutomaticPolicy, PairPolicy
from novacron_core.api.tiering import StoragePolicy
from novacron_core.values.sizes import KIB, size_text
from novacron_core.values.windows import parse_windows

MIN_BANDWIDTH = 64 * KIB
"""The slowest copy, in bytes per second."""


def why_not_policy(policy: StoragePolicy) -> dict[str, str]:
    """What is wrong with a policy, as sentences by field; empty when it can work."""
    found = {}
    if policy.low_mark > policy.high_mark:
        found["low_mark"] = f"must be at most the high mark, {policy.high_mark:g}: volumes leave a tier down to it"
    if policy.idle_cold_s < policy.idle_warm_s:
        found["idle_cold_s"] = f"must be at least idle_warm_s, {policy.idle_warm_s:g}: cold is the slower tier"
    if policy.spare >= 1:
        found["spare"] = "must be less than 1: a tier could take nothing"
    return found | why_not_automatic(policy.automatic)


def why_not_automatic(policy: AutomaticPolicy) -> dict[str, str]:
    """The same of automatic moves."""
    found = {}
    if not is_time_zone(policy.time_zone):
        found["automatic.time_zone"] = f"must be a time zone like Europe/Berlin: there is no {policy.time_zone!r}"
    for name, pair in policy.pairs.items():
        if 0 < pair.bandwidth_bytes_s < MIN_BANDWIDTH:
            found[f"automatic.pairs.{name}.bandwidth_bytes_s"] = (
                f"must be 0 or at least {MIN_BANDWIDTH}: it would never end"
            )
        try:
            parse_windows(pair.window)
        except ValueError as e:
            found[f"automatic.pairs.{name}.window"] = f"is not valid: {e}"
    return found


def pair_text(policy: AutomaticPolicy, pair: PairPolicy) -> str:
    """What is set for a pair of tiers, in words."""
    if not pair.enabled:
        return "off"
    limit = f"at most {size_text(pair.bandwidth_bytes_s)}/s" if pair.bandwidth_bytes_s else "as fast as it can"
    return f"on, {limit}, {f'begins at {pair.window} {policy.time_zone}' if pair.window else 'at any time'}"


def is_time_zone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        return name == "UTC" or bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):  # no such zone, a path outside, or a folder of zones
        return False
