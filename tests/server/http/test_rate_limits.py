"""The rate limit: counted per address and group, reported in headers, reset after a minute."""

from __future__ import annotations

import pytest

from novacron_core.errors import RateLimited
from novacron_server.http.filter_budget import BURST, PER_S, FilterBudget
from novacron_server.http.limits import RateLimits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_address_and_group_has_its_own_budget() -> None:
    clock = Clock()
    limits = RateLimits(requests=2, sign_in=1, clock=clock)
    assert [limits.take("a", "/api/x", "http").refused for _ in range(3)] == [False, False, True]
    assert not limits.take("b", "/api/x", "http").refused
    assert [limits.take("a", "/auth/register", "http").refused for _ in range(2)] == [False, True]
    for path in ("/auth/invitation", "/auth/password-reset"):
        assert limits.take("a", path, "http").refused, "what hashes for strangers has one budget"


def test_budget_is_reset_after_a_minute_and_headers_say_when() -> None:
    clock = Clock()
    limits = RateLimits(requests=1, clock=clock)
    limits.take("a", "/x", "http")
    clock.now = 20.0
    refused = limits.take("a", "/x", "http")
    assert refused.refused
    assert dict(refused.headers)[b"ratelimit-reset"] == b"40"
    clock.now = 60.0
    assert not limits.take("a", "/x", "http").refused


def test_flood_without_a_token_uses_up_nothing_of_a_user() -> None:
    limits = RateLimits(requests=3)
    assert [limits.take("192.0.2.1", "/api/vms", "http").refused for _ in range(5)][-1]
    assert [limits.take("192.0.2.1", "/api/vms", "http", "ann").refused for _ in range(4)] == [False] * 3 + [True]
    assert limits.take("198.51.100.7", "/api/vms", "http", "ann").refused, "a user has one budget everywhere"


def test_addresses_of_one_network_share_a_budget() -> None:
    limits = RateLimits(sign_in=2)
    for addresses in (["127.0.0.1", "127.9.9.9", "127.0.0.2"], ["2001:db8::1", "2001:db8::2", "2001:db8::ffff"]):
        taken = [limits.take(address, "/auth/register", "http").refused for address in addresses]
        assert taken == [False, False, True]


def test_flood_of_addresses_makes_a_counted_one_neither_free_nor_memory_grow() -> None:
    limits = RateLimits(requests=3)
    for number in range(50_000):
        limits.take(str(number), "/x", "http")
        if number % 1000 == 0:
            limits.take("192.0.2.1", "/x", "http")
    assert limits.take("192.0.2.1", "/x", "http").refused
    assert len(limits._counts._counts) <= 20_000


def test_long_filters_of_one_user_are_refused_until_they_are_paid() -> None:
    now = [0.0]
    budget = FilterBudget(lambda: 100_000, clock=lambda: now[0])
    budget.charge("ann", 32)
    with pytest.raises(RateLimited) as refused:
        budget.charge("ann", 1)
    assert refused.value.retry_after_s == pytest.approx((3_200_000 - BURST) / PER_S)
    budget.charge("bob", 1)
    now[0] += (3_200_000 - BURST) / PER_S + 0.1
    budget.charge("ann", 1)


def test_short_filters_on_a_small_fleet_are_never_refused() -> None:
    budget = FilterBudget(lambda: 200, clock=lambda: 0.0)
    for _ in range(2000):
        budget.charge("ann", 3)
