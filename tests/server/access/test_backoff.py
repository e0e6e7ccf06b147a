"""Password guessing is slowed down per account and address, and cannot lock out the owner."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from novacron_core.api.access import Refresh
from novacron_core.errors import RateLimited, Unauthenticated
from novacron_server.access import backoff
from novacron_server.access.passwords import RESERVED, WAITING
from novacron_server.http.limits import network_of
from tests.support.access import HERE, PASSWORD, THERE, AccessUnderTest, OpenAccess, execute


async def fail(fresh_access: AccessUnderTest, times: int, username: str = "ada", address: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            await fresh_access.login(username, "wrong", address)


async def move_back(owner_url: str, seconds: float) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute("UPDATE login_failures SET last_at = last_at - %s * interval '1 second'", (seconds,))


async def test_after_wrong_passwords_even_the_right_one_must_wait(
    ready_access: AccessUnderTest, owner_url: str
) -> None:
    await fail(ready_access, backoff.FREE)
    for password in ("wrong", PASSWORD):
        before = ready_access.passwords.comparisons
        with pytest.raises(RateLimited) as expect_refused:
            await ready_access.login(password=password)
        assert expect_refused.value.retry_after_s and expect_refused.value.retry_after_s >= 1
        assert ready_access.passwords.comparisons == before
    await move_back(owner_url, 1.1)
    assert (await ready_access.login()).user.username == "ada"
    await fail(ready_access, backoff.FREE)  # and the count was reset


async def test_wrong_passwords_of_a_time_that_has_yet_to_come_do_not_count(
    ready_access: AccessUnderTest, owner_url: str
) -> None:
    await fail(ready_access, backoff.FREE)
    await move_back(owner_url, -86400)  # the clock was a day ahead, and has been set right
    assert (await ready_access.login()).user.username == "ada"


async def test_wait_doubles_up_to_a_limit(ready_access: AccessUnderTest, owner_url: str) -> None:
    await fail(ready_access, backoff.FREE)
    waits = []
    for _ in range(4):
        await execute(owner_url, "UPDATE login_failures SET last_at = clock_timestamp()")
        with pytest.raises(RateLimited) as expect_refused:
            await ready_access.login()
        waits.append(expect_refused.value.retry_after_s)
        await move_back(owner_url, (expect_refused.value.retry_after_s or 0) + 0.1)
        await fail(ready_access, 1)
    for wait, longest in zip(waits, [1, 2, 4, 8], strict=True):
        assert longest / 2 < (wait or 0) <= longest
    assert backoff.wait_s(50) == backoff.wait_s(10**6) == backoff.LONGEST_S


async def test_attacker_at_another_address_does_not_lock_out_the_owner(ready_access: AccessUnderTest) -> None:
    await fail(ready_access, backoff.FREE, address=THERE)
    with pytest.raises(RateLimited):
        await ready_access.login(address=THERE)
    assert (await ready_access.login(address=HERE)).user.username == "ada"
    with pytest.raises(RateLimited):
        await ready_access.login(address=THERE)  # the owner's sign-in elsewhere does not reset the attacker's count


async def test_other_accounts_are_unaffected_and_unknown_ones_slowed_equally(ready_access: AccessUnderTest) -> None:
    await fail(ready_access, backoff.FREE, username="nobody")
    with pytest.raises(RateLimited):
        await ready_access.login("nobody", "wrong")
    with pytest.raises(RateLimited):
        await ready_access.login(" NoBody ", "wrong")
    assert (await ready_access.login()).user.username == "ada"


async def test_concurrent_attempts_do_not_bypass_the_limit(
    ready_access: AccessUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first wait is long, so that on a slow machine it has not passed by the next attempt.
    monkeypatch.setattr(backoff, "wait_s", lambda failures, free, longest_s: 0.0 if failures < free else longest_s)
    before = ready_access.passwords.comparisons
    crowd = [ready_access.login(password="wrong") for _ in range(30)]
    results = await asyncio.gather(*crowd, return_exceptions=True)
    assert sum(isinstance(result, Unauthenticated) for result in results) == backoff.FREE
    assert ready_access.passwords.comparisons - before == backoff.FREE


async def test_failures_are_forgotten_after_a_day(ready_access: AccessUnderTest, owner_url: str) -> None:
    await fail(ready_access, backoff.FREE)
    await move_back(owner_url, 25 * 3600)
    await fail(ready_access, backoff.FREE)


async def fail_everywhere(ready_access: AccessUnderTest, times: int) -> None:
    """Wrong passwords, each from another network."""
    for number in range(times):
        await fail(ready_access, 1, address=f"198.51.100.{number}")


async def test_attempts_from_many_networks_are_slowed_together(ready_access: AccessUnderTest, owner_url: str) -> None:
    await fail_everywhere(ready_access, backoff.ALL_FREE)
    for _ in range(2):
        with pytest.raises(RateLimited) as refused:
            await ready_access.login(address="203.0.113.1")
        assert 0 < (refused.value.retry_after_s or 0) <= 1
    await move_back(owner_url, 1.1)
    assert (await ready_access.login(address="203.0.113.1")).user.username == "ada"
    assert backoff.wait_s(100, backoff.ALL_FREE, backoff.ALL_LONGEST_S) == backoff.ALL_LONGEST_S


async def test_network_that_has_signed_in_before_is_not_slowed_by_others(ready_access: AccessUnderTest) -> None:
    await ready_access.login(address=HERE)
    await fail_everywhere(ready_access, backoff.ALL_FREE)
    with pytest.raises(RateLimited):
        await ready_access.login(address=THERE)
    assert (await ready_access.login(address=HERE)).user.username == "ada"


async def test_refused_attempt_counts_nowhere(ready_access: AccessUnderTest, owner_url: str) -> None:
    await fail_everywhere(ready_access, backoff.ALL_FREE)
    for _ in range(backoff.FREE + 1):
        with pytest.raises(RateLimited):
            await ready_access.login(address=THERE)
    async with await psycopg.AsyncConnection.connect(owner_url) as conn:
        counted = await (
            await conn.execute("SELECT address FROM login_failures WHERE address = %s", (THERE,))
        ).fetchall()
    assert counted == []


async def test_sign_ins_from_new_networks_are_no_failures(ready_access: AccessUnderTest) -> None:
    for number in range(backoff.ALL_FREE + 5):
        await ready_access.login(address=f"198.51.100.{number}")


async def test_wait_of_a_known_network_stays_short(ready_access: AccessUnderTest, owner_url: str) -> None:
    """An attacker on the owner's own machine or network cannot lock him out."""
    await ready_access.login(address=HERE)
    for _ in range(12):
        await fail(ready_access, 1)
        await move_back(owner_url, backoff.KNOWN_LONGEST_S + 1)
    await fail(ready_access, 1)
    with pytest.raises(RateLimited) as refused:
        await ready_access.login()
    assert 20 < (refused.value.retry_after_s or 0) <= backoff.KNOWN_LONGEST_S


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
def test_addresses_are_grouped_by_network(address: str, counts_as: str) -> None:
    assert network_of(address) == counts_as


async def test_flood_of_sign_ins_keeps_only_strangers_out(open_access: OpenAccess) -> None:
    async with open_access(sign_ins_per_minute=3) as opened:
        await opened.register_first()
        tokens = await opened.login()
        for number in range(2):
            with pytest.raises(Unauthenticated):
                await opened.login(f"x{number}", "wrong")
        before = opened.passwords.comparisons
        with pytest.raises(RateLimited, match="too many sign-ins"):
            await opened.login("x9", "wrong")
        assert opened.passwords.comparisons == before
        await opened.login()
        await opened.access.refresh(Refresh(refresh_token=tokens.refresh_token))
        with pytest.raises(Unauthenticated):
            await opened.login("x9", "wrong", THERE)


async def test_owner_is_compared_while_strangers_fill_their_places(ready_access: AccessUnderTest) -> None:
    await ready_access.login()
    ready_access.passwords._waiting = WAITING - RESERVED
    for username, address in (("x", HERE), ("ada", THERE)):
        with pytest.raises(RateLimited, match="too many users are signing in"):
            await ready_access.login(username, "wrong", address)
    assert (await ready_access.login()).user.username == "ada"
