"""Small things an operator reads: the toggle, the help, the events of a VM, a theme's name on the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from textual.color import Color
from textual.widgets import Label

from novacron_core.api.vms import NIC
from novacron_tui.app import Console
from novacron_tui.metrics import charts
from novacron_tui.screens.help import KeyRow, entries
from novacron_tui.terminal.glyphs import FINE
from novacron_tui.vms.create import CreateVMForm
from novacron_tui.vms.page import event_lines, nics
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.text_bar import Piece, spread
from novacron_tui.widgets.toggle import Toggle
from tests.support.console.looking import text, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import NOW, event, fleet, inventory, live, samples, vm
from tests.support.terminal import Terminal


async def test_a_toggle_says_its_state_in_characters() -> None:
    app = console(Wire(), theme="mono", ascii=True)
    async with app.run_test(size=(100, 32)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CreateVMForm) and bool(app.screen._draft.images))
        assert "[x] start after creation" in text(app)
        app.screen.query_one(Toggle).focus()
        await pilot.press("space")
        await until(pilot, lambda: "[ ] start after creation" in text(app), "focused, and the label is still there")


WIDE = "財務システム-01 e\u0301"


@pytest.mark.parametrize("width", [20, 40, 60])
@pytest.mark.parametrize("name", ["web-01", WIDE, WIDE * 9, "a" * 90])
def test_lines_of_wide_letters_are_as_wide_as_they_should_be(name: str, width: int) -> None:
    right = [Piece("1h", "brand"), Piece(" 24h", rank=2)]
    for left in ([Piece(name, "strong")], [Piece(name), Piece(name, "quiet", 1)], []):
        assert cells_of(spread(left, right, width)) == width
        assert cells_of(spread(left, [], width)) == width
    sample = samples(1).vms[fleet()[0].id]
    lines = charts.top([(vm("a" * 9, 1), sample), (vm(name, 2), sample)], charts.RANKS[0], width, 9, FINE)
    assert len({cells_of(line) for line in lines[1:]}) == 1
    rows = nics(vm("x", 1, nics=[NIC(mac="m", network=one) for one in ("default", "財務")]), FINE)
    assert len({cells_of(row) for row in rows}) == 1


def cells_of(pieces: Sequence[Piece]) -> int:
    return cell_len("".join(piece.text for piece in pieces))


async def test_only_the_label_of_the_field_that_takes_keys_is_bright() -> None:
    app = console(Wire())
    async with app.run_test(size=(100, 32)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CreateVMForm) and bool(app.screen._draft.images))
        for _ in range(3):
            await until(pilot, lambda: bright(app) == [f for f in app.screen.query(FormField) if f.has_focus_within])
            await pilot.press("tab")


def bright(app: Console) -> list[FormField]:
    """The fields whose label stands out."""
    strong = Color.parse(app.theme_variables["foreground"])
    return [field for field in app.screen.query(FormField) if field.query_one(Label).styles.color == strong]


async def test_help_says_once_what_refuses_every_verb() -> None:
    app = console(Wire(), Stream(live(), inventory([])))
    async with app.run_test(size=(120, 60)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Keys on this screen" in text(app))
        shown = text(app)
        assert "List  nothing is selected" in shown
        assert "VM  nothing is selected" in shown
        assert shown.count("nothing is selected") == 2


def test_the_sentences_of_help_begin_below_each_other_however_long_a_label_is() -> None:
    rows = [
        KeyRow("s", "start", "Aa.", "VM"),
        KeyRow("tab", "pools, volumes", "Aa.", "Storage"),
        KeyRow("escape", "back", "Aa.", "Storage"),
    ]
    sentences = [line.plain for line, _ in entries(rows) if "Aa." in line.plain]
    assert len({line.index("Aa.") for line in sentences}) == 1
    assert "esc  back" in sentences[-1]


def test_help_keeps_at_its_verb_what_only_that_is_refused_for() -> None:
    rows = [
        KeyRow("s", "start", "Start it.", "VM", "web is already running"),
        KeyRow("x", "shut down", "Ask it.", "VM", "busy"),
        KeyRow("p", "pause", "Hold it.", "VM", "busy"),
        KeyRow("c", "create", "Make one.", "VM"),
    ]
    shown = [line.plain for line, _ in entries(rows)]
    assert shown[0] == "VM  busy"
    assert "is already running" in shown[1]
    assert all("busy" not in line for line in shown[1:])


@pytest.mark.parametrize(
    ("kind", "note", "words"),
    [
        ("vm.started", "", "started"),
        ("vm.saved", "", "saved to disk"),
        ("vm.crashed", "I/O error on vda", "crashed: I/O error on vda"),
        ("vm.deleted", "removed outside NovaCron", "deleted: removed outside NovaCron"),
        ("vm.disk_added", "vdb", "disk added: vdb"),
    ],
)
def test_an_event_is_told_in_words(kind: str, note: str, words: str) -> None:
    (line,) = event_lines([event(1, vm("a", 1), kind, note=note)], NOW)
    assert "".join(piece.text for piece in line) == f"     0s  {words}"


def test_an_unknown_theme_ends_with_the_choices() -> None:
    with Terminal([sys.executable, "-m", "novacron_tui", "--theme", "nonsense"]) as terminal:
        terminal.see("choose one of dark, light, contrast, colour-blind, mono")
        assert terminal.wait_end(10) == 2
        assert "Traceback" not in terminal.text()


@pytest.mark.parametrize("theme", ["dark", "light", "contrast", "colour-blind", "mono"])
async def test_every_button_can_have_the_focus_in_every_theme_and_shows_it(theme: str) -> None:
    app = console(Wire(), theme=theme)
    async with app.run_test(size=(100, 32)) as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.loaded)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CreateVMForm) and bool(app.screen._draft.images))
        for name in ("cancel", "send"):
            button = app.screen.query_one(f"#{name}")
            quiet = (button.rich_style, button.background_colors)
            button.focus()
            await pilot.pause()
            assert (button.rich_style, button.background_colors) != quiet
            assert app._exception is None
