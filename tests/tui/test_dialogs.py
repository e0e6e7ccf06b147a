"""What all dialogs have in common: input is not lost, the line of keys is theirs, and refusals go with them."""

from __future__ import annotations

from typing import Any

import pytest

from novacron_core.values.sizes import GIB, TIB
from novacron_tui.app import Console
from novacron_tui.screens import base
from novacron_tui.screens.activity import ActivityScreen
from novacron_tui.screens.help import KeyRow, entries
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from novacron_tui.widgets.text_bar import TextBar
from tests.support.console.looking import answer, home, line_text, loaded, react, text, to, until
from tests.support.console.storage_looking import SIZE, reach
from tests.support.console.storage_world import pool, stored, tier, volume, wire
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import fleet, host, inventory, live, vm

FORMS = [
    (["c"], list("vol-9")),
    (["+"], ["2", "0", "G"]),
    (["n"], list("copy")),
    (["m"], ["tab", "5", "0", "M"]),
    (["a"], list("web")),
    (["i"], list("/tmp/x")),
    (["tab", "tab", "m"], ["enter", "up", "enter"]),
]
NAMES = ["create", "grow", "clone", "move", "attach", "upload", "tier"]


@pytest.fixture(autouse=True)
def messages_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message goes by itself."""
    monkeypatch.setattr(base, "MESSAGE_S", 600.0)


async def open_form(pilot: Any, app: Console, keys: list[str]) -> Form[Any]:
    await pilot.press(*keys)
    await until(pilot, lambda: isinstance(app.screen, Form) and app.screen._untouched is not None)
    assert isinstance(app.screen, Form)
    return app.screen


@pytest.mark.parametrize(("keys", "typed"), FORMS, ids=NAMES)
async def test_a_changed_form_asks_before_it_drops_the_input(keys: list[str], typed: list[str]) -> None:
    app = console(wire(), Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        form = await open_form(pilot, app, keys)
        await pilot.press(*typed)
        await until(pilot, lambda: form.form.values() != form._untouched)
        typed_values = form.form.values()
        await pilot.press("escape")
        await answer(pilot, "n")
        await until(pilot, lambda: app.screen is form)
        assert form.form.values() == typed_values
        await pilot.press("escape")
        await answer(pilot, "y")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))


@pytest.mark.parametrize("keys", [keys for keys, _ in FORMS], ids=NAMES)
async def test_an_unchanged_form_closes_at_once(keys: list[str]) -> None:
    app = console(wire(), Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await open_form(pilot, app, keys)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))


def keys_below(app: Console) -> str:
    """The line of keys of the screen below the dialog."""
    below = next(screen for screen in reversed(app.screen_stack) if screen.query("#keys"))
    return str(below.query_one("#keys", TextBar).text).strip()


@pytest.mark.parametrize("opens", ["c", "question_mark", "X", "ctrl+p"])
async def test_below_a_dialog_no_keys_are_offered(opens: str) -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await until(pilot, lambda: "pause" in keys_below(app))
        await pilot.press(opens)
        await until(pilot, lambda: not loaded(app) and keys_below(app) == "")
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app) and "pause" in keys_below(app))


async def test_a_refusal_goes_with_the_form_that_is_left() -> None:
    app = console(wire(), Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await pilot.press("f")
        await until(pilot, lambda: "is not attached" in line_text(app, "status"))
        await react(pilot)
        await open_form(pilot, app, ["c"])
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen))
        await until(pilot, lambda: "is not attached" not in line_text(app, "status"))


async def test_escape_clears_the_refusal_below_the_fields_of_a_form() -> None:
    full = {"POST /api/storage/volumes": lambda _: refuse(409, "conflict", "the pool is full")}
    app = console(wire(**full), Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        form = await open_form(pilot, app, ["c"])
        await pilot.press(*"vol-9", "ctrl+s")
        await until(pilot, lambda: "the pool is full" in text(app))
        await pilot.press("escape")
        await answer(pilot, "n")
        await until(pilot, lambda: app.screen is form and "the pool is full" not in text(app))


async def test_escape_clears_a_refusal_on_every_list() -> None:
    app = console(wire(), Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        screen = await reach(pilot, app, "scratch")
        screen.filter.put("scratch")
        await pilot.press("f")
        await until(pilot, lambda: "is not attached" in line_text(app, "status"))
        await pilot.press("escape")
        await until(pilot, lambda: "is not attached" not in line_text(app, "status"))
        assert isinstance(app.screen, StorageScreen)


def test_each_group_of_the_help_occurs_once() -> None:
    for screen in (StorageScreen, VMPageScreen, ActivityScreen):
        rows = [KeyRow(a.key, a.label, a.help, a.group) for a in screen.ACTIONS if a.key]
        shown = [line.plain for line, _ in entries(rows)]
        groups = [line for line in shown if line in {row.group or "Here" for row in rows}]
        assert len(groups) == len(set(groups))
        assert sum(line.startswith((" ", "enter")) for line in shown) >= len(rows), "no key is missing"


async def test_one_of_a_thing_is_singular_everywhere() -> None:
    machine = vm("web-01", 1)
    frame = stored(
        vms=[machine], volumes=[volume("only", 1)], pools=[pool("hot")], operations=[],
        hosts=[host(cpus=1)], tiers=[tier("hot", GIB, TIB, volumes=1)],
    )  # fmt: skip
    app = console(wire(), Stream(live(), frame))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        assert "1 host up" in line_text(app, "top")
        await pilot.press("c")
        await until(pilot, lambda: "kvm-a has 1 CPU" in text(app))
        assert "1 CPUs" not in text(app)
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))
        await pilot.press("4")
        await until(pilot, lambda: isinstance(app.screen, StorageScreen) and "1 volume " in line_text(app, "status"))
        await pilot.press("tab", "tab")
        await until(pilot, lambda: "1 pool " in line_text(app, "status"))
        for wrong in ("1 volumes", "1 pools"):
            assert wrong not in text(app)


async def test_a_size_without_a_unit_is_explained_in_the_form() -> None:
    app = console(wire(), Stream(live(), stored()))
    async with app.run_test(size=SIZE) as pilot:
        await reach(pilot, app, "scratch")
        await open_form(pilot, app, ["+"])
        await pilot.press("5", "ctrl+s")
        words = "5 B is less than the minimum of 1 MiB. Add a unit, such as 5G"
        await until(pilot, lambda: words in " ".join(text(app).replace("│", " ").split()))


async def test_a_question_takes_no_refusal_back_to_the_list() -> None:
    app = console(Wire(), Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        home_screen = app.screen_stack[-2]
        home_screen.say("a refusal", "warn")  # type: ignore[attr-defined]
        await answer(pilot, "n")
        await until(pilot, lambda: loaded(app) and "a refusal" not in line_text(app, "status"))
        assert home(app) is home_screen
