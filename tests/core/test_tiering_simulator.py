"""The short form of the trace simulator (`make bench ARGS=heat` is the long one): the advice against other ways of choosing
tiers, on the same workloads, with the same space and the same cooldowns."""

from __future__ import annotations

import pytest

from novacron_core.api.tiering import StoragePolicy
from tests.support.tiering import DAY_H, Outcome, choosers, fleet, replay

VOLUMES, DAYS = 120, 28


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    volumes = fleet(VOLUMES, DAYS)
    hot = sum(volume.size_bytes for volume in volumes) // 5
    return {name: replay(volumes, DAYS, hot, choose) for name, choose in choosers(StoragePolicy()).items()}


def test_advice_serves_nearly_what_one_does_who_knows_the_next_day(outcomes: dict[str, Outcome]) -> None:
    ours, best = outcomes["ours"], outcomes["oracle"]
    assert ours.hot >= 0.85 * best.hot
    assert ours.copied_bytes <= 1.5 * best.copied_bytes


@pytest.mark.parametrize("rival", ["autotier", "original", "LRU by day"])
def test_advice_serves_more_than_others(outcomes: dict[str, Outcome], rival: str) -> None:
    ours, other = outcomes["ours"], outcomes[rival]
    assert ours.hot > other.hot
    if other.copied_bytes < ours.copied_bytes:
        assert ours.hot / ours.copied_bytes > other.hot / other.copied_bytes


def test_nothing_goes_back_and_forth(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["ours"].returns == {}


def test_every_kind_of_workload_does_something() -> None:
    volumes = fleet(VOLUMES, DAYS)
    assert len({volume.kind for volume in volumes}) == 10
    for volume in volumes:
        done = [volume.work.small[hour] + volume.work.large[hour] for hour in range(volume.born, DAYS * DAY_H)]
        assert sum(done) > 0, volume.name
