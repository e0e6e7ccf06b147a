"""Guessing: slowed down per account and address, and never a way to lock the owner out."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from novacron_core.errors import RateLimited, Unauthenticated
from novacron_server.access import backoff
from tests.support.access import HERE, PASSWORD, THERE, AccessUnderTest


async def fail(door: AccessUnderTest, times: int, username: str = "ada", address: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            await door.login(username, "wrong", address)


async def age(owner_url: str, seconds: float) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute("UPDATE login_failures SET last_at = last_at - %s * interval '1 second'", (seconds,))


async def test_after_some_wrong_ones_one_waits_even_with_the_right_one(house: AccessUnderTest, owner_url: str) -> None:
    await fail(house, backoff.FREE)
    for password in ("wrong", PASSWORD):
        before = house.passwords.comparisons
        with pytest.raises(RateLimited) as refused:
            await house.login(password=password)
        assert refused.value.retry_after_s and refused.value.retry_after_s >= 1
        assert house.passwords.comparisons == before
    await age(owner_url, 1.1)
    assert (await house.login()).user.username == "ada"
    await fail(house, backoff.FREE)  # and the count began anew


async def test_the_wait_grows_with_each_and_ends(house: AccessUnderTest, owner_url: str) -> None:
    await fail(house, backoff.FREE)
    waits = []
    for _ in range(4):
        with pytest.raises(RateLimited) as refused:
            await house.login()
        waits.append(refused.value.retry_after_s)
        await age(owner_url, (refused.value.retry_after_s or 0) + 0.1)
        await fail(house, 1)
    assert [round(wait or 0) for wait in waits] == [1, 2, 4, 8]
    assert backoff.wait_s(50) == backoff.wait_s(10**6) == backoff.LONGEST_S


async def test_an_attacker_elsewhere_does_not_lock_the_owner_out(house: AccessUnderTest) -> None:
    await fail(house, backoff.FREE, address=THERE)
    with pytest.raises(RateLimited):
        await house.login(address=THERE)
    assert (await house.login(address=HERE)).user.username == "ada"
    with pytest.raises(RateLimited):
        await house.login(address=THERE)  # the owner's success elsewhere helps the attacker nothing


async def test_other_accounts_of_the_address_go_on_and_unknown_ones_are_slowed_alike(house: AccessUnderTest) -> None:
    await fail(house, backoff.FREE, username="nobody")
    with pytest.raises(RateLimited):
        await house.login("nobody", "wrong")
    with pytest.raises(RateLimited):
        await house.login(" NoBody ", "wrong")
    assert (await house.login()).user.username == "ada"


async def test_many_at_once_do_not_slip_through_together(
    house: AccessUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first wait is long here, so that a slow machine does not let the next one in by right.
    monkeypatch.setattr(backoff, "wait_s", lambda failures: 0.0 if failures < backoff.FREE else backoff.LONGEST_S)
    before = house.passwords.comparisons
    crowd = [house.login(password="wrong") for _ in range(30)]
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert sum(isinstance(result, Unauthenticated) for result in results) == backoff.FREE
    assert house.passwords.comparisons - before == backoff.FREE


async def test_a_day_forgets(house: AccessUnderTest, owner_url: str) -> None:
    await fail(house, backoff.FREE)
    await age(owner_url, 25 * 3600)
    await fail(house, backoff.FREE)


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("unix", "unix"),
    ],
)
def test_what_counts_as_one_address(address: str, counts_as: str) -> None:
    assert backoff.network_of(address) == counts_as
