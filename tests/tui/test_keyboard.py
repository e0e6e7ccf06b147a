"""What a terminal sends: a paste is text to its end, whatever it holds, however it is cut into pieces; no key is lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual._xterm_parser import XTermParser
from textual.events import Key, MouseDown, Paste
from textual.message import Message

from novacron_tui.keyboard import END, MOST, START, Keyboard
from tests.terminal import Terminal

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
    for _ in range(100):
        messages += keyboard.feed("x" * 10_000 + "\x11")
    assert messages == [] and sum(map(len, keyboard._taken)) <= MOST + len(END)
    messages = list(keyboard.feed(END + "k"))
    assert [type(message) for message in messages] == [Paste, Key]
    assert isinstance(messages[0], Paste) and len(messages[0].text) == MOST


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "calls"


def test_in_a_terminal_a_hostile_paste_goes_into_its_field_and_does_nothing_else(calls: Path) -> None:
    million = START.encode() + HOSTILE.replace("\r\n", "").encode() + b"\x9b\xff" + b"p" * (1 << 20) + END.encode()
    with Terminal([sys.executable, "-m", "tests.tui.in_a_terminal", str(calls), "token"]) as terminal:
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
