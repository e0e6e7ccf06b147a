"""What every key sends to a guest."""

from __future__ import annotations

import pytest

from novacron_tui.consoles.input_keys import key_bytes
from novacron_tui.consoles.pasted_text import PIECE_BYTES, has_more_lines, pieces_of

KEYS: dict[str, bytes] = {
    "a": b"a",
    "Z": b"Z",
    "1": b"1",
    "space": b" ",
    "slash": b"/",
    "é": "é".encode(),
    "日": "日".encode(),
    "enter": b"\r",
    "shift+enter": b"\r",
    "tab": b"\t",
    "shift+tab": b"\x1b[Z",
    "escape": b"\x1b",
    "backspace": b"\x7f",
    "ctrl+backspace": b"\x08",
    "alt+backspace": b"\x1b\x7f",
    "ctrl+@": b"\x00",
    "ctrl+space": b"\x00",
    **{f"ctrl+{letter}": bytes([at]) for at, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 1)},
    "ctrl+shift+a": b"\x01",
    "ctrl+left_square_bracket": b"\x1b",
    "ctrl+backslash": b"\x1c",
    "ctrl+right_square_bracket": b"\x1d",
    "ctrl+circumflex_accent": b"\x1e",
    "ctrl+underscore": b"\x1f",
    "ctrl+slash": b"\x1f",
    "alt+x": b"\x1bx",
    "alt+shift+x": b"\x1bX",
    "alt+slash": b"\x1b/",
    "alt+ctrl+c": b"\x1b\x03",
    "alt+é": "\x1bé".encode(),
    "up": b"\x1b[A",
    "down": b"\x1b[B",
    "right": b"\x1b[C",
    "left": b"\x1b[D",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "ctrl+right": b"\x1b[1;5C",
    "shift+up": b"\x1b[1;2A",
    "ctrl+shift+left": b"\x1b[1;6D",
    "alt+down": b"\x1b[1;3B",
    "ctrl+home": b"\x1b[1;5H",
    "insert": b"\x1b[2~",
    "delete": b"\x1b[3~",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "ctrl+delete": b"\x1b[3;5~",
    "shift+pageup": b"\x1b[5;2~",
    "f1": b"\x1bOP",
    "f2": b"\x1bOQ",
    "f3": b"\x1bOR",
    "f4": b"\x1bOS",
    **{
        f"f{n}": b"\x1b[%d~" % code
        for n, code in zip(range(5, 21), (15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34), strict=True)
    },
    "shift+f1": b"\x1b[1;2P",
    "ctrl+f5": b"\x1b[15;5~",
    "add": b"+",
    "decimal": b".",
    "f24": b"",
    "print_screen": b"",
    "caps_lock": b"",
    "<ignore>": b"",
    "left_shift": b"",
    "ctrl+é": b"",
}
APPLICATION = {
    "up": b"\x1bOA",
    "left": b"\x1bOD",
    "home": b"\x1bOH",
    "end": b"\x1bOF",
    "ctrl+up": b"\x1b[1;5A",
    "delete": b"\x1b[3~",
}
KEYPAD = {
    "add": b"\x1bOk",
    "subtract": b"\x1bOm",
    "multiply": b"\x1bOj",
    "divide": b"\x1bOo",
    "decimal": b"\x1bOn",
    "separator": b"\x1bOl",
}


@pytest.mark.parametrize("key", KEYS)
def test_every_key(key: str) -> None:
    assert key_bytes(key) == KEYS[key]


@pytest.mark.parametrize("key", APPLICATION)
def test_keys_in_application_cursor_mode(key: str) -> None:
    assert key_bytes(key, application_cursor=True) == APPLICATION[key]


@pytest.mark.parametrize("key", KEYPAD)
def test_keys_of_the_keypad_in_its_application_mode(key: str) -> None:
    assert key_bytes(key, application_keypad=True) == KEYPAD[key]
    assert len(key_bytes(key)) == 1


def test_the_character_of_a_key_is_what_it_types() -> None:
    assert key_bytes("full_stop", ".") == b"."
    assert key_bytes("alt+shift+x", "X") == b"\x1bX"
    assert key_bytes("backspace", "\x08") == b"\x7f"
    assert key_bytes("enter", "\r") == b"\r"


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("one", b"one"),
        ("a\tb", b"a\tb"),
        ("a\r\nb\rc\nd", b"a\rb\rc\rd"),
        ("a\x1b[201~\nrm -rf /\n", b"a\rrm -rf /\r"),
        ("a\x9b201~b", b"ab"),
        ("\x1b\x1b[201~[201~x", b"[201~x"),
        ("a\x00\x03\x04\x7f\x85b", b"ab"),
        ("日本", "日本".encode()),
    ],
)
def test_pasted_text_has_no_controls_and_cannot_end_its_brackets(text: str, sent: bytes) -> None:
    assert b"".join(pieces_of(text, bracketed=False)) == sent
    assert b"".join(pieces_of(text, bracketed=True)) == b"\x1b[200~" + sent + b"\x1b[201~"


def test_a_large_paste_is_sent_in_pieces() -> None:
    pieces = list(pieces_of("x" * 1_000_000, bracketed=True))
    assert max(map(len, pieces)) == PIECE_BYTES
    assert sum(map(len, pieces)) == 1_000_000 + 12


@pytest.mark.parametrize(
    ("text", "more"), [("a", False), ("a\n", False), ("a\r", False), ("a\nb", True), ("a\n\n", True), ("", False)]
)
def test_what_is_asked_about(text: str, more: bool) -> None:
    assert has_more_lines(text) is more
