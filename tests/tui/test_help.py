"""`?` runs what it shows, and copies it as a `novacron` command that exists."""

from __future__ import annotations

from dataclasses import replace

import pytest
import typer
from textual.widgets import OptionList

from novacron_tui.app import Console
from novacron_tui.screens.help import HelpScreen
from novacron_tui.screens.metrics import MetricsScreen
from novacron_tui.screens.problems import ProblemsScreen
from novacron_tui.screens.storage import StorageScreen
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.startup.command_line import app as command_line
from tests.support.console.looking import loaded, text, to, until
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import OTHER_HOST_ID, fleet, host, inventory, live, vm

SIZE = (120, 40)


async def open_help(pilot: object, app: Console, words: str) -> None:
    """Open the help, and put its cursor on the line with these words."""
    await pilot.press("?")  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(app.screen, HelpScreen))
    screen = app.screen
    assert isinstance(screen, HelpScreen)
    screen.query_one(OptionList).highlighted = next(
        at for at, (line, row) in enumerate(screen._entries) if row is not None and words in line.plain
    )


async def test_enter_runs_the_line_under_the_cursor() -> None:
    wire = Wire()
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await open_help(pilot, app, "Ask the guest to shut down")
        await pilot.press("enter")
        await until(pilot, lambda: len(wire.asked("POST", "/stop")) == 1)
        await open_help(pilot, app, "Usage of the fleet")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MetricsScreen))


async def test_a_refused_line_says_why() -> None:
    wire = Wire()
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await open_help(pilot, app, "Start the VM.")
        await pilot.press("enter")
        await until(pilot, lambda: loaded(app) and "web-01 is already running" in text(app))
        assert not wire.asked("POST", "/start")


async def test_y_copies_the_command_for_the_marked_vms_with_their_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [vm("twin", 91), vm("twin", 92, host=OTHER_HOST_ID), vm("web 1", 93)]
    place = replace(ServerRef("https://kvm.example:8090"), profile="prod")
    app = console(Wire(), Stream(live(), inventory(twins, [host(), host(id=OTHER_HOST_ID, name="b")])), place=place)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("*")
        await open_help(pilot, app, "Ask the guest to shut down")
        await pilot.press("y")
        await until(pilot, lambda: bool(copied))
        assert copied == [f"novacron vm stop {twins[1].id} {twins[0].id} 'web 1' --profile prod"]
        assert isinstance(app.screen, HelpScreen), "it stays open"


@pytest.mark.parametrize(
    ("place", "where"),
    [
        (ServerRef("http://127.0.0.1:8090"), "--profile local"),
        (ServerRef("http://127.0.0.1:41234", "demo", known=False), "--server http://127.0.0.1:41234"),
    ],
)
async def test_a_copied_command_never_leads_to_the_current_profile(
    monkeypatch: pytest.MonkeyPatch, place: ServerRef, where: str
) -> None:
    app = console(Wire(), Stream(live(), inventory(fleet())), place=place)
    copied: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        to(app, "web-01")
        await open_help(pilot, app, "Ask the guest to shut down")
        await pilot.press("y")
        await until(pilot, lambda: bool(copied))
        assert copied == [f"novacron vm stop web-01 {where}"]


def commands() -> set[str]:
    """`vm stop`, `console` and all others that `novacron` has."""
    root = typer.main.get_command(command_line)
    groups = root.commands  # type: ignore[attr-defined]
    return {f"{name} {sub}".strip() for name, group in groups.items() for sub in getattr(group, "commands", ("",))}


@pytest.mark.parametrize("screen", [VMListScreen, VMPageScreen, StorageScreen, ProblemsScreen])
def test_every_command_that_can_be_copied_exists(screen: type) -> None:
    known = commands()
    for action in screen.ACTIONS:  # type: ignore[attr-defined]
        if action.command:
            words = [word for word in action.command.split() if not word.startswith("{")]
            assert " ".join(words[:2]) in known, action.command
        else:
            assert not action.changes, f"{action.name} has no command"
