"""What a terminal sends: a paste is text to its end, whatever it holds, however it is cut into pieces; no key is lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual._xterm_parser import BRACKETED_PASTE_END as END
from textual._xterm_parser import BRACKETED_PASTE_START as START
from textual._xterm_parser import XTermParser
from textual.events import Key, MouseDown, Paste
from textual.message import Message

from novacron_tui.terminal.keyboard import LATE_PASTE_S, MAX_KEPT_PASTE, PASTE_TIMEOUT_S, Keyboard, PasteLost
from novacron_tui.terminal.whole_paste import MAX_PASTE, WholePaste
from tests.support.console.looking import SIZE, loaded, text, until
from tests.support.console.wire import Wire, console
from tests.support.console.world import PASSWORD
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(60)
HOSTILE = (
    "web\x1b]52;c;ZXZpbA==\x07\x1b[A\x1b\x1b\x1bOP\x11\x9b31m\u202e\r\n:q\r\x1b[200~\x00"
    + "\x1b]0;"
    + "y" * 60
    + "\x1b"
)


def said(*pieces: str) -> list[str]:
    keyboard = Keyboard(XTermParser())
    return [word(message) for piece in pieces for message in keyboard.feed(piece)]


def word(message: Message) -> str:
    match message:
        case Key():
            return message.key
        case Paste():
            return f"pasted {message.text}"
        case MouseDown():
            return f"mouse {message.x},{message.y}"
    return type(message).__name__


def test_a_hostile_paste_is_one_paste_without_a_control_character_and_the_keys_around_it_stay() -> None:
    words = said("a" + START + HOSTILE + END + "\x1b[Bb")
    assert [words[0], *words[2:]] == ["a", "down", "b"]
    pasted = words[1].removeprefix("pasted ")
    assert pasted.startswith("web·]52;c;ZXZpbA==·") and "\n:q\n" in pasted
    assert all(character.isprintable() or character == "\n" for character in pasted)


@pytest.mark.parametrize("size", range(1, 9))
def test_it_does_not_matter_how_it_is_cut(size: int) -> None:
    text = "j" + START + HOSTILE + END + START + END + "\x1b[<0;3;4M" + START + "two" + END + "k"
    assert said(*(text[at : at + size] for at in range(0, len(text), size))) == said(text)
    assert said(text)[2:] == ["pasted ", "mouse 2,3", "pasted two", "k"]


def test_of_a_paste_without_end_only_so_much_is_kept() -> None:
    keyboard = Keyboard(XTermParser())
    messages: list[Message] = list(keyboard.feed(START))
    for _ in range(300):
        messages += keyboard.feed("x" * 10_000 + "\x11")
    assert messages == [] and sum(map(len, keyboard._taken)) <= MAX_KEPT_PASTE + len(END)
    messages = list(keyboard.feed(END + "k"))
    assert [type(message) for message in messages] == [WholePaste, Key]
    paste = messages[0]
    assert isinstance(paste, WholePaste) and len(paste.text) == MAX_PASTE and len(paste.whole) == MAX_KEPT_PASTE
    assert paste.dropped == 300 * 10_001 - MAX_KEPT_PASTE and "\x11" in paste.whole and "\x11" not in paste.text


def test_enter_is_enter_though_it_was_typed_before_the_terminal_was_set_up(tmp_path: Path) -> None:
    with Terminal([sys.executable, "-m", "tests.support.console.in_a_terminal", str(tmp_path / "calls")]) as terminal:
        terminal.write(f"ada\r{PASSWORD}\r".encode())
        terminal.see("web-01", 20)


class Slowly:
    """A keyboard on a line that stalls, with a clock that the test moves; the silence between pieces is long enough
    for Textual to take what it has for keys."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 1000.0
        monkeypatch.setattr("textual._parser.get_time", lambda: self.time)
        self.keyboard = Keyboard(XTermParser(), lambda: self.time)

    def says(self, *pieces: str, silence_s: float = 1.0) -> list[str]:
        words = []
        for piece in pieces:
            words += [word(message) for message in (*self.keyboard.feed(piece), *self.keyboard.tick())]
            words += self.after(silence_s)
        return words

    def after(self, seconds: float) -> list[str]:
        self.time += seconds
        return [word(message) for message in self.keyboard.tick()]


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Slowly:
    return Slowly(monkeypatch)


@pytest.mark.parametrize("at", range(2, len(START)))
def test_a_start_of_a_paste_that_stalls_in_the_middle_presses_nothing(slowly: Slowly, at: int) -> None:
    assert slowly.says(START[:at], START[at:] + "dy", END + "k") == ["pasted dy", "k"]


def test_after_an_escape_that_was_taken_for_the_key_the_rest_of_the_mark_presses_nothing(slowly: Slowly) -> None:
    assert slowly.says("\x1b", "[200~dy" + END, "k") == ["escape", "pasted dy", "k"]
    assert slowly.says("\x1b", "[", "200~dy" + END, "k") == ["escape", "left_square_bracket", "pasted dy", "k"]


def test_keys_and_the_mouse_on_a_line_that_stalls_are_what_they_are(slowly: Slowly) -> None:
    assert slowly.says("\x1b[", "B", "\x1b[<0;", "3;4M", "\x1b[2", "0~") == ["down", "mouse 2,3", "f9"]
    assert slowly.says("\x1b", "j") == ["escape", "j"]


def test_a_paste_without_an_end_is_dropped_told_of_and_keys_are_keys_again(slowly: Slowly) -> None:
    assert slowly.says(START + "dy", "more", silence_s=PASTE_TIMEOUT_S - 0.1) == []
    assert slowly.after(0.2) == ["PasteLost"]
    assert slowly.after(PASTE_TIMEOUT_S) == []
    assert slowly.says("j", "\x1b[B", "\x1b[<0;3;4M\x1b[<0;3;4m", START + "two" + END + "k") == [
        "j", "down", "mouse 2,3", "MouseUp", "pasted two", "k"
    ]  # fmt: skip


def test_what_comes_late_of_a_paste_that_was_given_up_is_not_pressed(slowly: Slowly) -> None:
    slowly.says(START + "d", silence_s=PASTE_TIMEOUT_S)
    assert slowly.says("yX", "y\r" + END + "k", "dy") == ["k", "d", "y"]
    slowly.says(START + "d", silence_s=PASTE_TIMEOUT_S)
    assert slowly.says("yX" + START + "two" + END, "dy") == ["pasted two", "d", "y"]
    slowly.says(START + "d", silence_s=PASTE_TIMEOUT_S)
    slowly.after(LATE_PASTE_S)
    assert slowly.says("dy") == ["d", "y"], "a rest that comes later than that is nobody's"


async def test_the_operator_is_told_of_a_paste_that_was_dropped() -> None:
    app = console(Wire())
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await until(pilot, lambda: loaded(app))
        app.post_message(PasteLost())
        await until(pilot, lambda: "The paste was incomplete" in text(app))


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "calls"


def test_in_a_terminal_a_hostile_paste_goes_into_its_field_and_does_nothing_else(calls: Path) -> None:
    million = START.encode() + HOSTILE.replace("\r\n", "").encode() + b"\x9b\xff" + b"p" * (1 << 20) + END.encode()
    with Terminal([sys.executable, "-m", "tests.support.console.in_a_terminal", str(calls), "token"]) as terminal:
        terminal.see("web-01", 20)
        terminal.press("/")
        terminal.write(million)
        terminal.see(r"/ .*web·\]52", 10)
        terminal.press("esc", "c")
        terminal.see("Create a VM", 10)
        terminal.write(million)
        terminal.see("web·", 10)
        terminal.press("esc")
        terminal.see("web-02", 10)
        terminal.send("\x11")
        assert terminal.wait_end(20.0) == 0
    assert calls.read_text() == "left"
