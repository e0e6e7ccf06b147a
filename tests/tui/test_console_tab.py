"""The serial console of a VM by key presses: what reaches the guest, what reaches the console, and who types."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from textual import events
from textual._wait import wait_for_idle
from textual.screen import Screen
from textual.strip import Strip

from novacron_core import errors
from novacron_core.api import consoles as api
from novacron_core.client.stream import Disconnected
from novacron_core.values.roles import Role
from novacron_tui.app import Console
from novacron_tui.consoles.detach_keys import SETTING, detach_key
from novacron_tui.consoles.terminal_view import TerminalView
from novacron_tui.screens.vm_page import VMPageScreen
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.whole_paste import WholePaste
from novacron_tui.widgets.confirm import Confirm
from tests.support.console.looking import home, line_text, loaded, react, text, to, until
from tests.support.console.serial_consoles import BOB, ME, SerialEnd, serial
from tests.support.console.vm_page_world import page_wire, page_world
from tests.support.console.wire import console

__all__ = ["serial"]
SIZE = (100, 30)
DETACH = "ctrl+right_square_bracket"


def here(app: Console) -> VMPageScreen:
    assert isinstance(app.screen, VMPageScreen)
    return app.screen


async def open_console(pilot: Any, app: Console, name: str = "web-01") -> VMPageScreen:
    await until(pilot, lambda: loaded(app) and app.session is not None and app.session.store.seq == 12)
    to(app, name)
    await pilot.press("full_stop")
    await until(pilot, lambda: isinstance(app.screen, VMPageScreen) and here(app).on_console)
    return here(app)


async def typing(pilot: Any, app: Console, serial: SerialEnd) -> VMPageScreen:
    """Open the console of a guest at its prompt, and type."""
    screen = await open_console(pilot, app)
    serial.hello(writer=ME)
    serial.output(b"tiny# ")
    await until(pilot, lambda: screen.console is not None and screen.console.terminal.takes_every_key)
    await until(pilot, lambda: "tiny#" in text(app))
    return screen


async def test_every_key_reaches_the_guest_until_the_detach_key(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await typing(pilot, app, serial)
        await pilot.press("l", "s", "enter", "q", "1", "colon", "slash", "ctrl+c", "ctrl+p", "tab", "escape", "up")
        await until(pilot, lambda: serial.typed == b"ls\rq1:/\x03\x10\t\x1b\x1b[A")
        assert app.screen is screen
        assert "TYPING" in line_text(app, "console-line")
        assert f"{detach_key().label} or F12 leaves the guest" in line_text(app, "console-line")
        await pilot.press(DETACH)
        await until(pilot, lambda: "connected" in line_text(app, "console-line"))
        await react(pilot)
        await pilot.press("tab")
        await until(pilot, lambda: not screen.on_console)
        assert serial.typed.endswith(b"\x1b[A")


async def test_detach_key_pressed_twice_is_typed_and_a_click_detaches(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await typing(pilot, app, serial)
        assert screen.console is not None
        await pilot.press(DETACH)
        await pilot.press(DETACH)
        await until(pilot, lambda: serial.typed == b"\x1d")
        assert screen.console.terminal.typing
        await pilot.press("f12")
        await until(pilot, lambda: "types into the guest" in line_text(app, "console-line"))
        await pilot.press("full_stop")
        await until(pilot, lambda: screen.console.terminal.typing)  # type: ignore[union-attr]
        await pilot.click("#console-line", offset=(line_text(app, "console-line").index("leaves"), 0))
        await until(pilot, lambda: not screen.console.terminal.typing)  # type: ignore[union-attr]


async def test_another_who_types_is_named_and_taken_over_after_a_question(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await open_console(pilot, app)
        serial.hello(writer=BOB, followers=2)
        await until(pilot, lambda: "bob is typing" in line_text(app, "console-line"))
        await until(pilot, lambda: "bob is typing: press W to take over" in line_text(app, "status"))
        await react(pilot)
        await pilot.press("W")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "Take over from bob?" in text(app)
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: serial.asked == [("take", "his")])
        serial.say(api.ConsoleWriter(writer=ME, taken_by="olga", taken_from="bob", followers=2))
        await until(pilot, lambda: screen.console is not None and screen.console.terminal.takes_every_key)
        assert "you type now instead of bob" in line_text(app, "status")
        serial.say(api.ConsoleWriter(writer=BOB, taken_by="bob", taken_from="olga", followers=2))
        await until(pilot, lambda: "bob has taken over the console" in line_text(app, "status"))
        assert not here(app).console.terminal.typing  # type: ignore[union-attr]


STARTED = ["exit\r", "top", "X", ":reset", "4"]
"""What somebody types who has not seen yet that the guest does not get it: among it keys that act on the VM."""


def keys_of(typed: str) -> list[str]:
    return ["enter" if char == "\r" else char for char in typed]


async def acts_on_nothing(pilot: Any, app: Console, screen: VMPageScreen, said: str) -> None:
    wire = app.session.client  # type: ignore[union-attr]
    assert wire is not None
    for typed in STARTED:
        await pilot.press(*keys_of(typed))
        assert app.screen is screen, typed
        assert screen.on_console, typed
    await until(pilot, lambda: said in line_text(app, "status"))
    assert "esc lets keys act on the VM again" in line_text(app, "console-line")


async def test_keys_that_were_meant_for_the_guest_do_not_act_on_the_vm_after_a_takeover(serial: SerialEnd) -> None:
    wire = page_wire()
    app = console(wire, page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await typing(pilot, app, serial)
        serial.say(api.ConsoleWriter(writer=BOB, taken_by="bob", taken_from="olga", followers=2))
        await until(pilot, lambda: "bob has taken over the console" in line_text(app, "status"))
        await acts_on_nothing(pilot, app, screen, "not typed: bob is typing: press W to take over")
        await pilot.press("escape")
        await until(pilot, lambda: "W takes over" in line_text(app, "console-line"))
        assert screen.on_console
        await react(pilot)
        await pilot.press("tab")
        await until(pilot, lambda: not screen.on_console)
    assert [call for call in wire.calls if call.method != "GET"] == []
    assert serial.typed == b""


@pytest.mark.parametrize("how", ["refused", "opening", "lost", "gone"])
async def test_keys_for_a_guest_that_does_not_get_them_go_nowhere(how: str, serial: SerialEnd) -> None:
    wire = page_wire()
    app = console(wire, page_world())
    async with app.run_test(size=SIZE) as pilot:
        if how in ("lost", "gone"):
            screen = await typing(pilot, app, serial)
            lost = Disconnected("the line was cut", 1.0) if how == "lost" else errors.NotFound("the VM was deleted")
            serial.say(lost)
            said = "the line was cut" if how == "lost" else "the VM was deleted"
            await until(pilot, lambda: said in line_text(app, "console-line"))
        else:
            screen = await open_console(pilot, app)
            said = "the console is not open" if how == "opening" else "bob is typing"
            if how == "refused":
                serial.hello(writer=BOB, followers=2)
            await until(pilot, lambda: screen.console is not None and screen.console.terminal.withheld)
        for typed in STARTED:
            await pilot.press(*keys_of(typed))
            assert app.screen is screen
            assert screen.on_console
        await until(pilot, lambda: said in line_text(app, "status"))
    assert [call for call in wire.calls if call.method != "GET"] == []
    assert serial.typed == b""


async def test_who_leaves_the_guest_lets_others_type(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await typing(pilot, app, serial)
        assert "release" not in serial.asked
        await pilot.press(DETACH)
        await until(pilot, lambda: serial.asked == ["release"])


async def test_console_that_virsh_holds_is_taken_only_after_a_question(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await open_console(pilot, app)
        serial.hello(api.LineState.HELD, detail="another program, such as virsh console, has it")
        await until(pilot, lambda: "virsh" in line_text(app, "console-line"))
        await react(pilot)
        await pilot.press("W")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        assert serial.asked == []
        await react(pilot)
        await pilot.press("W")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: serial.asked == ["force"])


async def test_several_pasted_lines_are_typed_only_after_a_question(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await typing(pilot, app, serial)
        app.post_message(events.Paste("uname"))
        await until(pilot, lambda: serial.typed == b"uname")
        app.post_message(events.Paste("rm -r /\nreboot"))
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert "Paste 2 lines into the guest?" in text(app)
        await react(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, VMPageScreen))
        assert serial.typed == b"uname"
        await until(pilot, lambda: here(app).console.terminal.takes_every_key)  # type: ignore[union-attr]
        app.post_message(WholePaste("a\nb\x07", 0))
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await react(pilot)
        await pilot.press("y")
        await until(pilot, lambda: serial.typed == b"unamea\rb")
        app.post_message(WholePaste("x" * (1 << 20), 0))
        await until(pilot, lambda: serial.typed.count(b"x") == 1 << 20)


async def test_what_was_asked_before_is_not_answered_again(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await open_console(pilot, app)
        serial.hello(writer=ME, end=10)
        serial.output(b"old \x1b[6n\r\n")
        await until(pilot, lambda: "old" in text(app))
        assert serial.typed == b""
        serial.output(b"now \x1b[6n")
        await until(pilot, lambda: serial.typed == b"\x1b[2;5R")


async def test_reader_of_a_console_answers_nothing(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await open_console(pilot, app)
        serial.hello(writer=BOB)
        serial.output(b"one\r\n")
        serial.output(b"two \x1b[6n\x1b[c")
        await until(pilot, lambda: "two" in text(app))
        assert serial.typed == b""


async def test_find_mark_copy_and_size(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await typing(pilot, app, serial)
        assert screen.console is not None
        serial.output(b"".join(b"line %d\r\n" % n for n in range(100)) + b"oops\r\ntiny# ")
        await until(pilot, lambda: "oops" in text(app))
        await pilot.press(DETACH)
        await react(pilot)
        await pilot.press("slash", *"line 7")
        await until(pilot, lambda: "11 of 11" in text(app))
        await pilot.press("enter")
        await until(pilot, lambda: "10 of 11" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not screen.console.find.editing)  # type: ignore[union-attr]
        await react(pilot)
        await pilot.press("end", "space", "space", "end", "y")
        await until(pilot, lambda: "copied" in line_text(app, "status"))
        await pilot.press("R")
        size = screen.console.terminal.emulator.size
        await until(pilot, lambda: serial.typed == f"stty rows {size[1]} cols {size[0]}\r".encode())
        await pilot.press("F")
        await until(pilot, lambda: screen.console.terminal.size.height == SIZE[1] - 2)  # type: ignore[union-attr]
        await pilot.press("escape")
        await until(pilot, lambda: not screen.has_class("-full"))
        await pilot.press("escape")
        await until(pilot, lambda: loaded(app))


async def test_lost_connection_is_shown_and_nothing_is_typed_into_it(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await typing(pilot, app, serial)
        serial.say(Disconnected("the connection to the server was lost", 1.0))
        await until(pilot, lambda: "connection to the server was lost; reconnecting" in line_text(app, "console-line"))
        await pilot.press("x")
        await until(pilot, lambda: "not connected" in line_text(app, "status"))
        assert serial.typed == b""
        serial.hello()
        await until(pilot, lambda: "TYPING" in line_text(app, "console-line"))
        assert serial.asked == [("take", "")]
        serial.say(api.ConsoleWriter(writer=ME))
        await pilot.press("y")
        await until(pilot, lambda: serial.typed == b"y")
        serial.say(errors.NotFound("the VM was deleted, or belongs to somebody else now"))
        await until(pilot, lambda: "the VM was deleted" in line_text(app, "console-line"))
        assert screen.console is not None
        assert not screen.console.terminal.typing


async def test_viewer_and_read_only_profile(serial: SerialEnd) -> None:
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app) and app.session is not None and app.session.store.seq == 12)
        assert app.session is not None
        app.session.user = replace(app.session.user, role=Role.VIEWER)
        to(app, "web-01")
        await pilot.press("full_stop")
        await until(pilot, lambda: "your role (viewer) lacks the permission vm:console" in line_text(app, "status"))
        assert home(app)
    place = ServerRef("http://127.0.0.1:8090", "prod", read_only="the profile prod is read-only")
    app = console(page_wire(), page_world(), place=place)
    async with app.run_test(size=SIZE) as pilot:
        await open_console(pilot, app)
        await until(pilot, lambda: serial.opened == 1)
        assert serial.writes is False


@pytest.mark.parametrize(("setting", "name"), [("", DETACH), ("ctrl+a", "ctrl+a"), ("^\\", "ctrl+backslash")])
def test_detach_key_is_a_setting(setting: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, setting)
    assert detach_key().name == name


@pytest.mark.parametrize("setting", ["x", "ctrl+c", "ctrl+m", "f1", "ctrl+", "ctrl+\u00e9", "ctrl+[", "a" * 1000])
def test_detach_key_that_is_none_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="is no key to detach with"):
        detach_key(setting)


async def test_detach_key_is_answered_in_one_frame_that_paints_one_line_of_the_terminal(
    serial: SerialEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next frame comes up to 33 ms later, and while a guest floods the lines of the terminal are what costs most."""
    frames, lines = list[object](), list[int]()
    display, render_line = Console._display, TerminalView.render_line

    def note_frame(self: Console, of: Screen[Any], what: object) -> None:
        frames.extend([what] if what is not None else [])
        display(self, of, what)

    def note_line(self: TerminalView, y: int) -> Strip:
        lines.append(y)
        return render_line(self, y)

    monkeypatch.setattr("textual.app.wait_for_idle", wait_for_idle)  # frames come when Textual's own clock lets them
    app = console(page_wire(), page_world())
    async with app.run_test(size=SIZE) as pilot:
        screen = await typing(pilot, app, serial)
        await pilot.pause(0.1)
        monkeypatch.setattr(Console, "_display", note_frame)
        monkeypatch.setattr(TerminalView, "render_line", note_line)
        await pilot.press(DETACH)
        await pilot.pause(0.1)
        assert "types into the guest" in line_text(app, "console-line")
        assert len(frames) == 1
        assert lines == [screen.console.terminal.emulator.cursor.row]  # type: ignore[union-attr]
