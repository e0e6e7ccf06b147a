"""The own account and the ways to one, as pictures. A change here is seen by eye before it is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from novacron_core.api import second_factor
from novacron_tui.app import Console
from tests.support.console.account_world import CODE, Account
from tests.support.console.looking import fill, loaded, react, text, until
from tests.support.console.pictures import LARGE, SMALL
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, PASSWORD, fleet, inventory, live

ACCOUNT = (":", *"account", "enter")
SIZES = (SMALL, LARGE)


def of(account: Account, **more: Any) -> Console:
    return console(account.wire(), Stream(live(), inventory(fleet())), **more)


async def reach(pilot: Any, keys: Sequence[str], then: str) -> None:
    app = pilot.app
    await until(pilot, lambda: loaded(app))
    await pilot.press(*ACCOUNT)
    await until(pilot, lambda: "this console" in text(app))
    await react(pilot)
    await pilot.press(*keys)
    await until(pilot, lambda: then in text(app), then)
    await pilot.pause()


def guarded() -> Account:
    """olga with a second factor, of which few recovery codes are left."""
    account = Account()
    account.factor = second_factor.SecondFactor(enabled=True, required=True, since=NOW, recovery_codes_left=2)
    return account


CASES = {
    "sessions": ([], "192.0.2.3"),
    "tokens": (["tab"], "198.51.100.7"),
    "marked": (["*", "D"], "End 2 sessions?"),
    "create": (["c"], "right completes"),
    "session": (["enter"], "at the latest"),
}


@pytest.mark.parametrize("size", SIZES, ids=["small", "large"])
@pytest.mark.parametrize("name", CASES)
def test_account(name: str, size: tuple[int, int], snap_compare: Any) -> None:
    keys, then = CASES[name]
    account = guarded() if name == "tokens" else Account()
    assert snap_compare(of(account), run_before=lambda pilot: reach(pilot, keys, then), terminal_size=size)


@pytest.mark.parametrize("look", ["mono", "light", "ascii"])
def test_account_looks(look: str, snap_compare: Any) -> None:
    app = of(guarded(), ascii=True) if look == "ascii" else of(guarded(), theme=look)
    assert snap_compare(app, run_before=lambda pilot: reach(pilot, [], "192.0.2.3"), terminal_size=SMALL)


@pytest.mark.parametrize("size", SIZES, ids=["small", "large"])
@pytest.mark.parametrize("step", ["scan", "recovery"])
def test_second_factor(step: str, size: tuple[int, int], snap_compare: Any) -> None:
    async def go(pilot: Any) -> None:
        await reach(pilot, [":", *"second-factor", "enter"], "Continue")
        await react(pilot)
        await fill(pilot, PASSWORD)
        await until(pilot, lambda: "JBSW Y3DP" in text(pilot.app))
        if step == "recovery":
            await react(pilot)
            await fill(pilot, CODE)
            await until(pilot, lambda: "esc closes for good" in text(pilot.app))
        await pilot.pause()

    assert snap_compare(of(Account()), run_before=go, terminal_size=size)


@pytest.mark.parametrize("size", [(70, 20)], ids=["tiny"])
def test_second_factor_without_room_for_the_code(size: tuple[int, int], snap_compare: Any) -> None:
    async def go(pilot: Any) -> None:
        await reach(pilot, [":", *"second-factor", "enter"], "Continue")
        await react(pilot)
        await fill(pilot, PASSWORD)
        await until(pilot, lambda: "JBSW Y3DP" in text(pilot.app))

    assert snap_compare(of(Account()), run_before=go, terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=["small", "large"])
def test_new_token(size: tuple[int, int], snap_compare: Any) -> None:
    async def go(pilot: Any) -> None:
        await reach(pilot, ["c"], "right completes")
        await react(pilot)
        await fill(pilot, "nightly", "vm:read vm:change", "", "30")
        await until(pilot, lambda: "esc closes for good" in text(pilot.app))
        await pilot.pause()

    assert snap_compare(of(Account()), run_before=go, terminal_size=size)


@pytest.mark.parametrize("size", SIZES, ids=["small", "large"])
@pytest.mark.parametrize(
    ("key", "then"),
    [("f2", "makes an account for you"), ("f3", "makes the code.")],
    ids=["invitation", "reset"],
)
def test_ways_in(key: str, then: str, size: tuple[int, int], snap_compare: Any) -> None:
    async def go(pilot: Any) -> None:
        app = pilot.app
        await until(pilot, lambda: bool(app.screen.query("SignInForm Input")) and app.screen.focused is not None)
        await pilot.press(key)
        await until(pilot, lambda: then in text(app))
        await pilot.pause()

    assert snap_compare(console(Wire(), token=""), run_before=go, terminal_size=size)
