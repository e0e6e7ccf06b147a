"""Checks of the settings of storage advice."""

from __future__ import annotations

from novacron_core.api.tiering import StoragePolicy


def why_not_policy(policy: StoragePolicy) -> dict[str, str]:
    """What is wrong with a policy, as sentences by field; empty when it can work."""
    found = {}
    if policy.low_mark > policy.high_mark:
        found["low_mark"] = f"must be at most the high mark, {policy.high_mark:g}: volumes leave a tier down to it"
    if policy.idle_cold_s < policy.idle_warm_s:
        found["idle_cold_s"] = f"must be at least idle_warm_s, {policy.idle_warm_s:g}: cold is the slower tier"
    if policy.spare >= 1:
        found["spare"] = "must be less than 1: a tier could take nothing"
    return found
