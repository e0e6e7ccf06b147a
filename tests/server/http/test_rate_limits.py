"""The rate limit: counted per address and group, reported in headers, reset after a minute."""

from __future__ import annotations

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
    assert [limits.take("a", "/auth/login", "http").refused for _ in range(2)] == [False, True]


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


def test_memory_is_bounded_with_many_addresses() -> None:
    limits = RateLimits()
    for number in range(50_000):
        limits.take(str(number), "/x", "http")
    assert len(limits._counts) <= 20_000
