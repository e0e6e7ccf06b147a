"""The fine painting shows what Textual's own does, cell by cell, in far fewer bytes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pyte
import pytest
from rich.color import ColorSystem
from rich.console import Console as RichConsole
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate

from novacron_core.api.vms import State
from novacron_tui.app import Console
from novacron_tui.terminal.painting import Painted, Pen
from novacron_tui.widgets.text_bar import changed
from tests.support.console.looking import until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import event, fleet, inventory, live, vm

SIZE = (120, 40)


class TwoTerminals:
    """One is painted by Textual, one finely; both begin with the same full picture."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rich = RichConsole(force_terminal=True, color_system="truecolor", width=SIZE[0], height=SIZE[1])
        self.own, self.theirs = pyte.Screen(*SIZE), pyte.Screen(*SIZE)
        self.sizes: list[tuple[int, int]] = []
        self._painting = False
        self._painted = Painted()
        display = Console._display

        def recorded(app: Console, screen: Any, update: Any) -> None:
            if isinstance(update, LayoutUpdate | ChopsUpdate) and self._painting:
                self._take(update)
            display(app, screen, update)

        monkeypatch.setattr(Console, "_display", recorded)

    def begin(self, app: Console) -> None:
        """The full picture."""
        self._take(app.screen._compositor.render_full_update())
        self._painting = True

    def _take(self, update: LayoutUpdate | ChopsUpdate) -> None:
        update_strips(update)
        full, fine = update.render_segments(self.rich), self._painted.render(update, self.rich)
        self.sizes.append((len(fine.encode()), len(full.encode())))
        pyte.Stream(self.own).feed(fine)
        pyte.Stream(self.theirs).feed(full.replace("\n", ""))

    def compare(self) -> None:
        for y, x in product(range(SIZE[1]), range(SIZE[0])):
            assert seen(self.own.buffer[y][x]) == seen(self.theirs.buffer[y][x]), (x, y, self.own.display[y])


def update_strips(update: LayoutUpdate | ChopsUpdate) -> None:
    """Make the lines of an update readable more than once."""
    if isinstance(update, LayoutUpdate):
        update.strips = [list(strips) for strips in update.strips]


def seen(cell: Any) -> tuple[Any, ...]:
    """What an eye sees of a cell: of a blank only its ground."""
    if cell.data == " " and not cell.reverse and not cell.underscore:
        return (" ", cell.bg)
    return (cell.data, cell.fg, cell.bg, cell.bold, cell.reverse)


@pytest.mark.parametrize("theme", ["dark", "mono"])
async def test_both_terminals_show_the_same(monkeypatch: pytest.MonkeyPatch, theme: str) -> None:
    names = ["日本語の名前がとても長い", "[/]", "e\u0301clair", "ａ" * 12, "web"]
    vms = [vm(name, n, [State.RUNNING, State.STOPPED][n % 2]) for n, name in enumerate(names)] + fleet()[2:]
    terminals, stream = TwoTerminals(monkeypatch), Stream(live(), inventory(vms))
    app = console(Wire(), stream, theme=theme)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: type(app.screen).__name__ == "VMListScreen" and app.session is not None)
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        terminals.begin(app)
        for number, key in enumerate(["j", "j", "space", "j", "s", "escape", "G", "k", "asterisk", "o", "g", "x"]):
            await pilot.press(key)
            stream.say(event(11 + number, vm("日本", 60 + number % 3, State.PAUSED), "vm.created"))
            await pilot.pause(0.12)
            terminals.compare()
    assert len(terminals.sizes) > 12


async def test_a_cursor_key_costs_few_bytes_even_where_the_state_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    states = [State.RUNNING, State.STOPPED, State.PAUSED, State.CRASHED]
    vms = [vm(f"vm-{n:05}", n, states[n % 4]) for n in range(30)]
    terminals = TwoTerminals(monkeypatch)
    app = console(Wire(), Stream(live(), inventory(vms)))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        await until(pilot, lambda: type(app.screen).__name__ == "VMListScreen")
        terminals.begin(app)
        spent = []
        for _ in range(12):
            terminals.sizes.clear()
            await pilot.press("j")
            await pilot.pause(0.05)
            spent.append(sum(fine for fine, _ in terminals.sizes))
    assert max(spent) <= 800, spent


def test_runs_that_changed() -> None:
    assert changed("abcdefghijkl", "abcdefghijkl") == []
    assert changed("abcdefghijkl", "aXcdefghijkY") == [(1, 2), (11, 12)]
    assert changed("abcdefghijkl", "aXcXefghijkl") == [(1, 4)]
    assert changed("abc", "abcde") == [(3, 5)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("bold red", "red"), ("bold dim red on blue", "bold on blue"), ("reverse", "none"), ("red on blue", "underline")],
)
def test_from_one_look_to_another(one: str, other: str) -> None:
    screen = pyte.Screen(10, 2)
    pen = Pen(ColorSystem.TRUECOLOR)
    pen.write(0, 0, [Segment("a", Style.parse(one)), Segment("b", Style.parse(other)), Segment("c")])
    pyte.Stream(screen).feed(pen.lift())
    alone = pyte.Screen(10, 2)
    for x, (text, style) in enumerate([("a", one), ("b", other), ("c", "")]):
        pyte.Stream(alone).feed(f"\x1b[1;{x + 1}H" + (Style.parse(style).render(text) if style else text))
    assert [screen.buffer[0][x] for x in range(3)] == [alone.buffer[0][x] for x in range(3)]
