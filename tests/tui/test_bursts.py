"""Text that is pasted without paste marks: it is no key, wherever it comes; typed keys are keys, at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual._xterm_parser import XTermParser
from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import Input

from novacron_tui.app import Console
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.terminal.bursts import BURST_S, Bursts, UnmarkedPaste
from novacron_tui.terminal.keyboard import Keyboard
from novacron_tui.terminal.type_ahead import REACTION_S, key_acts
from novacron_tui.widgets.confirm import Confirm
from novacron_tui.widgets.form import Form
from novacron_tui.widgets.text_bar import TextBar
from tests.support.console.looking import SIZE, answer, home, line_text, loaded, to, until
from tests.support.console.opening import opened
from tests.support.console.wire import Stream, Wire, console
from tests.support.console.world import PASSWORD, VIEWER, fleet, inventory, live
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(60)
LETTER = "please stop xpts web-01\nand restart T web-02 today\n"
IGNORED = "Pasted text was ignored"


class Typing:
    """Bursts with a clock that the test moves. Only the keys in `acting` do something."""

    def __init__(self, acting: str = "sxptc") -> None:
        self.time = 100.0
        self._keyboard = Keyboard(XTermParser(), lambda: self.time)
        self._bursts = Bursts(lambda key: key.character is not None and key.character in acting, lambda: self.time)

    def reads(self, text: str) -> list[str]:
        return list(map(word, self._bursts.take(self._keyboard.feed(text))))

    def after(self, seconds: float) -> list[str]:
        self.time += seconds
        return list(map(word, self._bursts.tick()))

    @property
    def wait_s(self) -> float | None:
        return self._bursts.wait_s


def word(message: Message) -> str:
    if isinstance(message, UnmarkedPaste):
        return f"pasted {''.join(key.character or '?' for key in message.keys)}"
    return message.key if isinstance(message, Key) else type(message).__name__


def test_text_that_comes_in_one_read_is_one_paste() -> None:
    typing = Typing()
    assert typing.reads(LETTER) == [f"pasted {LETTER}".replace("\n", "\r")]
    assert typing.wait_s is None


def test_text_that_comes_in_single_characters_presses_no_key_that_acts() -> None:
    typing = Typing()
    seen = []
    for character in LETTER:
        seen += [*typing.reads(character), *typing.after(BURST_S / 8)]
    seen += typing.after(1.0)
    assert "".join(word.removeprefix("pasted ") for word in seen) == LETTER.replace("\n", "\r")
    assert all(word.startswith("pasted ") for word in seen)


def test_text_that_is_sent_key_by_key_is_a_paste_after_its_first_characters() -> None:
    """Sixty characters a second, as tools that imitate a keyboard send them."""
    typing, seen = Typing(), list[str]()
    for character in LETTER:
        seen += [*typing.reads(character), *typing.after(0.016)]
    pressed = [word for word in seen if not word.startswith("pasted ")]
    assert len(pressed) <= 12
    assert seen[-1].startswith("pasted ")


def test_what_a_fast_typist_presses_is_typed() -> None:
    typing, seen = Typing(), list[str]()
    for character in "please stop xpts web-01 and restart T web-02 today":
        seen += [*typing.reads(character), *typing.after(0.05)]
    assert not [word for word in seen if word.startswith("pasted ")]


def test_a_key_that_acts_waits_a_moment_and_every_other_one_does_not() -> None:
    typing = Typing()
    assert typing.reads("s") == []
    assert typing.wait_s == pytest.approx(BURST_S)
    assert typing.after(BURST_S + 0.001) == ["s"]
    assert typing.reads("o") == ["o"]
    assert typing.reads("\x1b[B") == ["down"]
    assert typing.wait_s is None


def test_keys_stay_in_their_order() -> None:
    typing = Typing()
    assert typing.reads("j") == ["j"]
    assert typing.reads("sj\x1b[B\x1b[<0;3;4M") == []
    assert typing.after(BURST_S + 0.001) == ["s", "j", "down", "MouseDown"]


@pytest.mark.parametrize("keys", ["sj", "ss", "jjjjjjjkkks", "oooooooooo", "stststststst", "web-1"])
def test_what_a_slow_line_delivers_at_once_is_typed(keys: str) -> None:
    typing = Typing()
    seen = [*typing.reads(keys), *typing.after(1.0)]
    assert seen == [{"-": "minus"}.get(key, key) for key in keys]


def test_a_paste_ends_with_a_pause() -> None:
    typing = Typing()
    typing.reads(LETTER)
    typing.after(BURST_S / 2)
    assert typing.reads("y\r") == ["pasted y\r"]
    typing.after(BURST_S + 0.001)
    assert typing.reads("j") == ["j"]


# -- in the console ------------------------------------------------------------------------------------------------


def paste(app: Console, text: str) -> None:
    """The message that the keyboard makes of pasted text."""
    keys = [key for key in Keyboard(XTermParser()).feed(text) if isinstance(key, Key)]
    app.post_message(UnmarkedPaste(keys))


def changes(wire: Wire) -> list[str]:
    return [f"{call.method} {call.url.path}" for call in wire.calls if call.method != "GET"]


async def test_over_a_list_nothing_is_done_and_that_is_said() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "web-01")
        paste(app, LETTER)
        await until(pilot, lambda: IGNORED in line_text(app, "status"))
        assert loaded(app)
        assert changes(wire) == []
        assert not home(app).pane.table.marks
        row = home(app).pane.table.row
        assert row is not None and row.name == "web-01"


async def test_the_end_of_a_paste_that_comes_late_is_dropped_too() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "web-01")
        paste(app, LETTER)
        await until(pilot, lambda: IGNORED in line_text(app, "status"))
        await pilot.press("s", "p", "enter", "q")
        assert loaded(app)
        assert changes(wire) == []


async def test_a_question_takes_no_answer_from_a_paste() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "web-01")
        await pilot.press("X")
        await answer(pilot, "right")
        for pasted in ("really\n", "\ny yes\n", LETTER):
            paste(app, pasted)
        status = app.screen_stack[-2].query_one("#status", TextBar)
        await until(pilot, lambda: IGNORED in str(status.text))
        assert isinstance(app.screen, Confirm)
        assert changes(wire) == []


async def test_a_pasted_name_is_text_and_its_enter_is_no_answer() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "staging")
        await pilot.press("D")
        await answer(pilot, "space")
        paste(app, "staging\ny")
        await until(pilot, lambda: app.screen.query_one("#typed", Input).value == "staging")
        await pilot.pause(0.1)
        assert isinstance(app.screen, Confirm)
        assert changes(wire) == []
        await pilot.press("enter")
        await until(pilot, lambda: len(changes(wire)) == 1)


async def test_a_question_takes_no_answer_before_it_can_have_been_read() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "web-01")
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and app.screen.asked_at is not None)
        early = Key("y", "y")
        early.time = app.screen.asked_at + REACTION_S - 0.01  # type: ignore[attr-defined]
        app.post_message(early)
        await answer(pilot)
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: len(changes(wire)) == 1)


@pytest.mark.parametrize("opens", ["slash", "ctrl+p"])
async def test_of_pasted_lines_a_text_field_takes_the_first(opens: str) -> None:
    async with opened() as (pilot, app, wire):
        await pilot.press(opens)
        await until(pilot, lambda: isinstance(app.focused, Input))
        paste(app, f"restart\n{LETTER}")
        below = next(screen for screen in app.screen_stack if isinstance(screen, VMListScreen))
        await until(pilot, lambda: "Only the first line" in str(below.query_one("#status", TextBar).text))
        assert isinstance(app.focused, Input) and app.focused.value == "restart"
        assert changes(wire) == []


async def test_a_pasted_command_does_not_run_before_enter_is_pressed() -> None:
    async with opened() as (pilot, app, wire):
        to(app, "web-01")
        await pilot.press("colon")
        paste(app, "restart\n")
        await until(pilot, lambda: isinstance(app.focused, Input) and app.focused.value == "restart")
        await pilot.pause(0.1)
        assert changes(wire) == []
        await pilot.press("enter")
        await until(pilot, lambda: len(changes(wire)) == 1)


async def test_a_pasted_line_does_not_send_a_form() -> None:
    async with opened() as (pilot, app, wire):
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, Form) and isinstance(app.focused, Input))
        paste(app, "px-sst\n" + "\n" * 9)
        await until(pilot, lambda: app.screen.query_one("#name Input", Input).value == "px-sst")
        await pilot.pause(0.1)
        assert isinstance(app.screen, Form) and app.screen.query_one("#name Input").has_focus
        assert changes(wire) == []


async def test_a_marked_paste_outside_a_field_is_ignored_with_the_same_sentence() -> None:
    async with opened() as (pilot, app, wire):
        app.post_message(Paste(LETTER))
        await until(pilot, lambda: IGNORED in line_text(app, "status"))
        assert changes(wire) == []


async def test_what_follows_a_refused_key_at_once_is_no_command() -> None:
    wire = Wire(user=VIEWER)
    app = console(wire, Stream(live(), inventory(fleet())))
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await pilot.press("c")
        await until(pilot, lambda: "your role (viewer)" in line_text(app, "status"))
        await pilot.press(*"web7q")
        await pilot.pause(0.1)
        assert type(app.screen) is VMListScreen
        assert app.is_running


async def test_a_dialog_that_opens_by_itself_takes_no_key_that_was_typed_below_it() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        await until(pilot, lambda: app.type_ahead._dispatcher is None)
        below, screen = Key("x", "x"), home(app)
        app.run_worker(screen.create_vm())
        await until(pilot, lambda: bool(app.screen.query("#name Input")) and app.screen.focused is not None)
        app.post_message(below)
        await pilot.pause(0.1)
        name = app.screen.query_one("#name Input", Input)
        assert name.value == ""
        await until(pilot, lambda: app.screen.focused is name)
        late = Key("y", "y")
        late.time += REACTION_S
        app.post_message(late)
        await until(pilot, lambda: name.value == "y")


async def test_which_keys_wait() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: loaded(app))
        waiting = [key for key in "sxptXTDcyqz:145!" if key_acts(app, Key(key, key))]
        assert waiting == list("sxptXTDcyqz:145!")
        assert [key for key in "jkoO*" if key_acts(app, Key(key, key))] == []
        assert not key_acts(app, Key("space", " "))
        await pilot.press("slash")
        assert not key_acts(app, Key("s", "s")), "in a text field it is text"


# -- in a terminal -------------------------------------------------------------------------------------------------


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "calls"


def run(calls: Path, *token: str) -> Terminal:
    return Terminal([sys.executable, "-m", "tests.support.console.in_a_terminal", str(calls), *token])


def test_in_a_terminal_a_letter_pasted_over_the_list_does_nothing(calls: Path) -> None:
    with run(calls, "token") as terminal:
        terminal.see("web-01", 20)
        terminal.burst(LETTER)
        terminal.see(IGNORED)
        terminal.settle(0.5)
        terminal.press("q")
        assert terminal.wait_end(20.0) == 0
        assert calls.read_text() == "left"


def test_in_a_terminal_single_keys_and_two_in_one_packet_work(calls: Path) -> None:
    with run(calls, "token") as terminal:
        terminal.see("web-01", 20)
        terminal.burst("4r")
        terminal.see("HOT")
        terminal.press("1")
        terminal.see("web-01")
        terminal.press("q")
        assert terminal.wait_end(20.0) == 0


def test_in_a_terminal_a_password_may_be_pasted_with_its_enter(calls: Path) -> None:
    with run(calls) as terminal:
        terminal.see("Sign in", 20)
        terminal.burst("ada\r")
        terminal.settle()
        terminal.burst(f"{PASSWORD}\r")
        terminal.see("web-01", 20)
