"""What a key costs at fleet size, counted and not timed: frames, layouts and questions to the rules."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from textual._wait import wait_for_idle
from textual.app import App
from textual.screen import Screen

from novacron_core.api.vms import State
from novacron_tui.app import Console
from novacron_tui.vms.perform import VMActionRunner
from tests.support.console.looking import SIZE, home, loaded, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import event, inventory, live, vm

FLEET = [vm(f"web-{n:04}", n, State.STOPPED) for n in range(1, 301)]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often the screen was painted, laid out, and the rules asked."""
    counts: Counter[str] = Counter()
    display, layout, asked = App._display, Screen._refresh_layout, VMActionRunner.why_not

    def count_display(self: App[Any], screen: Screen[Any], what: object) -> None:
        counts["frames"] += what is not None
        display(self, screen, what)  # type: ignore[arg-type]

    def count_layout(self: Screen[Any], *args: object, **more: object) -> None:
        counts["layouts"] += 1
        layout(self, *args, **more)  # type: ignore[arg-type]

    def count_asked(self: VMActionRunner, *args: object) -> str | None:
        counts["asked"] += 1
        return asked(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr("textual.app.wait_for_idle", wait_for_idle)  # frames come when Textual's own clock lets them
    monkeypatch.setattr(App, "_display", count_display)
    monkeypatch.setattr(Screen, "_refresh_layout", count_layout)
    monkeypatch.setattr(VMActionRunner, "why_not", count_asked)
    yield counts


def fleet_console() -> tuple[Console, Stream]:
    stream = Stream(live(), inventory(FLEET))
    return console(Wire(), stream), stream


async def test_all_that_a_key_does_is_painted_in_one_frame(counted: Counter[str]) -> None:
    app, _ = fleet_console()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        for key in ("down", "pagedown", "o"):
            await pilot.pause(0.1)
            counted.clear()
            await pilot.press(key)
            await pilot.pause(0.1)
            assert counted["frames"] == 1, key
            assert not counted["layouts"], key


async def test_typing_a_filter_lays_nothing_out_anew(counted: Counter[str]) -> None:
    app, _ = fleet_console()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("slash", "w")
        await pilot.pause(0.1)
        counted.clear()
        await pilot.press("e", "b", "-", "0")
        await pilot.pause(0.1)
        assert len(home(app).pane.table.rows) > 90
        assert counted["frames"] == 4
        assert not counted["layouts"]


async def test_with_all_marked_the_rules_are_asked_once_until_something_changes(counted: Counter[str]) -> None:
    app, stream = fleet_console()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("asterisk")
        await until(pilot, lambda: counted["asked"] > len(FLEET), "none of them can be paused")
        counted.clear()
        await pilot.press("down", "down", "up")
        assert counted["asked"] == 0
        paused = vm("web-0001", 1, State.PAUSED)
        stream.say(event(11, paused, "vm.paused"))
        await until(pilot, lambda: app.session is not None and app.session.store.seq == 11)
        await until(pilot, lambda: counted["asked"] > 0, "what may be done has changed")


class _Knot:
    """Refers to itself: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


async def test_garbage_of_an_earlier_connection_is_freed_with_the_next_inventory() -> None:
    app, stream = fleet_console()
    knot = _Knot()
    gone = weakref.ref(knot)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert gc.get_freeze_count() > len(FLEET)
        del knot
        gc.collect()
        assert gone() is not None
        stream.say(inventory(FLEET[:-1]))
        await until(pilot, lambda: app.session is not None and len(app.session.store.vms) == len(FLEET) - 1)
        assert gone() is None
    gc.unfreeze()


async def test_a_loaded_inventory_is_left_out_of_later_collections() -> None:
    app, _ = fleet_console()
    gc.unfreeze()
    try:
        async with app.run_test(size=SIZE) as pilot:
            await until(pilot, lambda: loaded(app))
            assert gc.get_freeze_count() > len(FLEET)
    finally:
        gc.unfreeze()


async def test_a_key_is_painted_as_soon_as_it_is_handled_not_when_a_clock_ticks(
    counted: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While something paints all the time, as a guest that floods does, the next tick comes up to 33 ms later."""
    app, _ = fleet_console()
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.pause(0.1)
        monkeypatch.setattr(app.screen._update_timer, "resume", lambda: None)
        counted.clear()
        await pilot.press("down")
        await asyncio.sleep(0.1)  # the pilot's own pause would paint
        assert counted["frames"] == 1
