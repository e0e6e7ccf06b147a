"""No key ends the console, on any screen, with nothing there and with all there: each is answered, be it by a refusal."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from novacron_tui.app import Console
from novacron_tui.screens.account import AccountScreen
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.screens.global_actions import EVERYWHERE, QUIT
from novacron_tui.screens.metrics import MetricsScreen
from novacron_tui.screens.people import PeopleScreen
from novacron_tui.screens.problems import ProblemsScreen
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.screens.vm_page import ONLY_ON, TABS, VMPageScreen
from novacron_tui.vms.actions import VERBS
from tests.support.console.account_world import Account
from tests.support.console.looking import line_text, loaded, react, until
from tests.support.console.metrics_world import wire
from tests.support.console.storage_looking import reach
from tests.support.console.storage_world import storage, stored
from tests.support.console.storage_world import wire as storage_wire
from tests.support.console.wire import Stream, console
from tests.support.console.world import live

SIZE = (120, 40)
NOTHING: dict[str, Any] = {"vms": [], "volumes": [], "pools": [], "tiers": [], "hosts": [], "operations": []}


WAYS = ("1", "1 enter", "4", "4 tab", "5", "6", "7", "!", "1 : a c c o u n t enter", "1 : a c c o u n t enter tab")
TAB_WAYS = tuple(f"1 enter : {' '.join(tab.name)} enter" for tab in TABS[1:])


CASES = [*product(WAYS, ["nothing", "all"]), *product(TAB_WAYS, ["all"])]


@pytest.mark.parametrize(("way", "there"), CASES, ids=[f"{way.replace(' ', '')}-{there}" for way, there in CASES])
async def test_no_key_ends_the_console(way: str, there: str) -> None:
    changes = NOTHING if there == "nothing" else {}
    app = console(wire(**{**storage_wire().routes, **Account().wire().routes}), Stream(live(), stored(**changes)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press(*way.split())
        here = app.screen
        for key in keys_of(here):
            await pilot.press(key, *back(here, key))
            if app.screen is not here:
                here = await come_again(pilot, app, way)


def keys_of(screen: Any) -> list[str]:
    """The keys of a screen, on a tab those that it adds; the keys of every screen are tried on the list alone."""
    actions = screen.ACTIONS
    if isinstance(screen, VMPageScreen) and screen.tab != TABS[0].name:
        actions = (*ONLY_ON[screen.tab], *VERBS)
    everywhere = EVERYWHERE if not isinstance(screen, VMListScreen) else ()
    keys = {action.key for action in actions if action not in everywhere}
    return sorted(keys - {QUIT.key, "escape", ""})


def back(screen: object, key: str) -> list[str]:
    """What leads back from what a key opened on the same screen."""
    if key == "tab":
        return ["shift+tab"] if isinstance(screen, VMPageScreen) else ["tab"]
    return ["escape"] if key == "/" else []


async def come_again(pilot: Any, app: Console, way: str) -> Any:
    """Leave what a key opened as an operator does, and go where one was."""
    for _ in range(6):
        if isinstance(app.screen, VMListScreen):
            break
        await pilot.press("escape")
    assert isinstance(app.screen, VMListScreen), f"escape does not lead back from {app.screen}"
    await pilot.press(*way.split())
    return app.screen


async def test_a_key_of_the_other_table_says_which_one_it_is_for() -> None:
    app = console(storage_wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press(":", *"tier", "enter")
        await until(pilot, lambda: "not available for volumes: tab shows the pools" in line_text(app, "status"))
        await pilot.press("tab", "plus")
        await until(pilot, lambda: "not available for advice: tab shows the volumes" in line_text(app, "status"))
        await react(pilot)
        await pilot.press("tab", "plus")
        await until(pilot, lambda: "not available for pools: tab shows the volumes" in line_text(app, "status"))


MEANINGS = {
    "s": {"start"},
    "x": {"stop"},
    "X": {"power-off"},
    "t": {"restart"},
    "T": {"reset"},
    "p": {"pause", "resume"},
    "c": {"create"},
    "e": {"edit"},
    "D": {"delete"},
    "n": {"clone"},
    "m": {"move", "tier", "follow"},
    "P": {"pin"},
    "N": {"dismiss"},
    "M": {"automatic"},
    "a": {"attach"},
    "f": {"detach"},
    "plus": {"grow"},
    "+": {"grow"},
    "i": {"upload"},
    "w": {"range"},
    "b": {"results"},
    "C": {"cancel"},
    "F": {"full-screen"},
    "L": {"log"},
    "R": {"send-size"},
    "W": {"take-over"},
    ".": {"console"},
    "A": {"acknowledge"},
    "z": {"discard-saved"},
    "o": {"sort", "rank"},
    "O": {"turn"},
    "y": {"copy-id", "copy-text"},
    "r": {"re-read"},
    "q": {"quit"},
    "space": {"mark"},
    "*": {"mark-all"},
    "/": {"filter", "find"},
    "?": {"help"},
    "!": {"problems"},
    "enter": {"open", "crash"},
}
"""What each letter does, on whatever screen. `o` orders a list, and the list of the top VMs too."""
RESERVED = frozenset("dSZv,uvk")
"""Letters that screens to come will need, or that move the cursor."""


def test_a_letter_means_the_same_on_every_screen() -> None:
    for screen in (
        VMListScreen,
        VMPageScreen,
        StorageScreen,
        MetricsScreen,
        PeopleScreen,
        AccountScreen,
        ActivityScreen,
        ProblemsScreen,
    ):
        for action in screen.ACTIONS:
            key = action.key
            if not key or key.isdigit() or key in ("tab", "escape", "ctrl+p"):
                continue
            assert str(action.name) in MEANINGS.get(key, ()), f"{key} on {screen.__name__}: {action.name}"
            assert key not in RESERVED, f"{key} on {screen.__name__}"


async def test_a_key_without_an_action_says_so() -> None:
    app = console(storage_wire(), storage())
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("e")
        await until(pilot, lambda: "e does nothing here: ? lists the keys" in line_text(app, "status"))
        await react(pilot)  # what follows at once is taken for the rest of a word
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, VMListScreen))
        await pilot.press("3")
        await until(
            pilot, lambda: "3 does nothing here: this version has no networks screen" in line_text(app, "status")
        )
        await react(pilot)
        await pilot.press("j", "g")
        await until(pilot, lambda: "j does nothing" not in line_text(app, "status"))
