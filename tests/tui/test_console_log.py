"""A VM's console log on its page and in the viewer: harmless, searched, followed, copied and saved."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from novacron_core.api.console_logs import ConsoleLog
from novacron_core.api.vms import State
from novacron_tui.app import Console
from novacron_tui.screens.console_log import ConsoleLogScreen
from novacron_tui.screens.vm_page import VMPageScreen
from tests.support.console.console_log_world import LOGGED, MAIL, NOT_LOGGED, logged
from tests.support.console.looking import line_text, loaded, text, until
from tests.support.console.wire import Stream, Wire, console, refuse
from tests.support.console.world import inventory, live, vm

SIZE = (120, 40)
MORE = ConsoleLog(text="", next="3-4-0123456789abcdef", recorded=True, size_bytes=10)
RUNNING = vm("web", 1, state=State.RUNNING)


async def command(pilot: Any, word: str) -> None:
    await pilot.press("colon", *word, "enter")


async def opened(pilot: Any, app: Console) -> ConsoleLogScreen:
    await until(pilot, lambda: loaded(app))
    await command(pilot, "log")
    await until(pilot, lambda: isinstance(app.screen, ConsoleLogScreen))
    screen = app.screen
    assert isinstance(screen, ConsoleLogScreen)
    return screen


async def test_log_of_a_crashed_vm_is_shown_without_what_a_terminal_would_execute() -> None:
    app = logged(LOGGED, MORE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: "Kernel panic" in " ".join(screen.view.lines))
        lines = list(screen.view.lines)
        assert "[FAILED] Failed to mount /srv." in lines
        assert "fetching 100%" in lines
        assert not any("\x1b" in line or "owned" in line for line in lines)
        assert screen.view.follows
        assert "last boot" in line_text(app, "status")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ConsoleLogScreen))


async def test_search_and_next() -> None:
    app = logged(LOGGED, MORE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: len(screen.view.lines) > 5)
        await pilot.press("home", "slash", *"kernel panic", "enter")
        await until(pilot, lambda: "Kernel panic" in screen.view.lines[screen.view.cursor])
        first = screen.view.cursor
        await pilot.press("n")
        await until(pilot, lambda: screen.view.cursor > first)
        await pilot.press("N")
        await until(pilot, lambda: screen.view.cursor == first)


async def test_follower_stays_at_the_end_and_a_reader_where_it_reads() -> None:
    grown = ConsoleLog(text="new line\r\n", next="9-9-0123456789abcdef", recorded=True, size_bytes=20)
    app = logged(LOGGED, MORE, grown, MORE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: "new line" in screen.view.lines)
        assert screen.view.lines[screen.view.cursor] == "new line"
        await pilot.press("home")
        assert (screen.view.cursor, screen.view.follows) == (0, False)
        await pilot.press("end")
        assert screen.view.follows


async def test_marked_lines_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    app = logged(LOGGED, MORE)
    copied: list[str] = []
    monkeypatch.setattr(Console, "copy_to_clipboard", lambda _, text: copied.append(text))
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: len(screen.view.lines) > 5)
        await pilot.press("home", "space", "space", "y")
        await until(pilot, lambda: bool(copied))
        assert copied == ["\n".join(screen.view.lines[:2])]


async def test_saved_for_the_operator_only_and_replaced_only_on_a_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / f"{MAIL.name}-console.txt"
    app = logged(LOGGED, MORE)
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, app)
        await until(pilot, lambda: len(screen.view.lines) > 5)
        await pilot.press("S")
        await until(pilot, lambda: "Save the log" in text(app) or app.screen is not screen)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: file.exists() and app.screen is screen)
        assert file.read_text().splitlines() == list(screen.view.lines)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        file.write_text("mine")
        await pilot.press("S")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: type(app.screen).__name__ == "Confirm")
        await pilot.press("escape")
        await until(pilot, lambda: type(app.screen).__name__ == "Form")
        assert file.read_text() == "mine"


async def test_toggle_reads_all_that_is_kept() -> None:
    wire = Wire()
    app = logged(LOGGED, MORE, wire=wire)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: "last boot" in line_text(app, "status"))
        await pilot.press("w")
        await until(pilot, lambda: "all:" in line_text(app, "status") or "printed nothing yet" in text(app))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NOT_LOGGED, "the serial console of mail is not logged"),
        (ConsoleLog(recorded=True), "It has printed nothing since it booted last."),
        (refuse(403, "forbidden", "your role (viewer) lacks the permission vm:console"), "lacks the permission vm:console"),
        (refuse(404, "not_found", "VM not found"), "VM not found"),
    ],
)  # fmt: skip
async def test_states_without_a_log(answer: Any, words: str) -> None:
    app = logged(answer)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: words in text(app))


async def test_console_that_is_not_logged_is_set_up_by_its_key() -> None:
    wire = Wire()
    app = logged(NOT_LOGGED, wire=wire)
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: "u set up console" in line_text(app, "keys"))
        await pilot.press("u")
        await until(pilot, lambda: len(wire.asked("POST", f"{MAIL.id}/console/set-up")) == 1)


async def test_page_of_a_crashed_vm_shows_its_last_words() -> None:
    app = logged(LOGGED)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen) and "Kernel panic" in text(app))
        assert "printed 3m ago" in text(app)


async def test_running_vm_has_no_last_words() -> None:
    wire = Wire()
    app = console(wire, Stream(live(), inventory([RUNNING])))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen) and "Overview" not in line_text(app, "status"))
        assert not any(section.display for section in app.screen.query("#last-words-below, #last-words-beside"))
        assert not wire.asked("GET", "console/log")
