"""A delayed call comes also when the process stood still as its timer began."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from textual import _time
from textual.app import App
from textual.timer import Timer

from novacron_tui.consoles.terminal_view import TerminalView
from novacron_tui.terminal.themes import DARK
from novacron_tui.widgets.once import once
from tests.support.console.looking import until


@pytest.fixture
def standing_still(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, 50 ms pass between any two looks at the clock of a short timer for one call."""
    real, passed = _time.get_time, [0.0]

    def late() -> float:
        timer = sys._getframe(1).f_locals.get("self")
        if isinstance(timer, Timer) and timer._repeat == 0 and timer._interval < 0.05:
            passed[0] += 0.05
        return real() + passed[0]

    return lambda: monkeypatch.setattr(_time, "get_time", late)


async def test_call_is_made_that_textual_loses(standing_still: Callable[[], None]) -> None:
    app: App[None] = App()
    called: list[str] = []
    async with app.run_test() as pilot:
        standing_still()
        app.set_timer(0.001, lambda: called.append("Textual's"))
        once(app, 0.001, lambda: called.append("ours"))
        await until(pilot, lambda: called == ["ours"])
        await pilot.pause(0.1)
        assert called == ["ours"], "Textual has mended it: `once` is not needed any more"


async def test_stopped_and_closed_timers_call_nothing() -> None:
    app: App[None] = App()
    called: list[str] = []
    async with app.run_test() as pilot:
        once(app, 0.05, lambda: called.append("stopped")).stop()
        once(app, 60.0, lambda: called.append("closed"))
        await pilot.pause(0.2)
    assert called == []


async def test_terminal_shows_what_comes_and_types_what_is_pasted_after_it_stood_still(
    standing_still: Callable[[], None],
) -> None:
    typed: list[bytes] = []
    terminal = TerminalView(typed.append)

    class Shown(App[None]):
        def __init__(self) -> None:
            super().__init__()
            self.register_theme(DARK)
            self.theme = DARK.name

        def compose(self) -> Any:
            yield terminal

    async with Shown().run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: terminal.idle)
        standing_still()
        for number in range(5):
            terminal.feed(b"line %d\r\n" % number)
            await until(pilot, lambda: terminal.idle)
        assert "line 4" in terminal.shown_text()
        text = "x" * 50_000
        terminal.paste(text)
        await until(pilot, lambda: not terminal.pasting)
        assert b"".join(typed) == text.encode()
