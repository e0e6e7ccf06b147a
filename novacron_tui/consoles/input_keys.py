"""What keys send to a guest, as xterm encodes them. Source: xterm's ctlseqs, "PC-Style Function Keys", and terminfo's
xterm-256color."""

from __future__ import annotations

from typing import NamedTuple

from textual.keys import key_to_character

ESCAPE = "\x1b"
_MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4}
_CURSOR_KEYS = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_EDITING_KEYS = {"insert": 2, "delete": 3, "pageup": 5, "pagedown": 6}
_FUNCTION_LETTERS = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_FUNCTION_NUMBERS = {"f5": 15, "f6": 17, "f7": 18, "f8": 19, "f9": 20, "f10": 21, "f11": 23, "f12": 24}
_FUNCTION_NUMBERS |= {"f13": 25, "f14": 26, "f15": 28, "f16": 29, "f17": 31, "f18": 32, "f19": 33, "f20": 34}
_SIMPLE_KEYS = {"enter": "\r", "tab": "\t", "escape": ESCAPE, "backspace": "\x7f", "space": " "}
_KEYPAD = {
    "add": ("+", "k"),
    "decimal": (".", "n"),
    "divide": ("/", "o"),
    "multiply": ("*", "j"),
    "separator": (",", "l"),
    "subtract": ("-", "m"),
}
"""What a keypad key is as text, and the letter of its sequence. Terminals tell only these from the main keys."""
_RENAMED = {"slash": "/", "backslash": "\\", "at": "@", "minus": "-", "plus": "+", "underscore": "_"}
"""Characters that Textual names otherwise than Unicode."""
_CONTROL_NAMES = {
    "@": "\x00",
    "at": "\x00", "space": "\x00", "left_square_bracket": ESCAPE, "backslash": "\x1c", "right_square_bracket": "\x1d",
    "circumflex_accent": "\x1e", "underscore": "\x1f", "minus": "\x1f", "slash": "\x1f", "question_mark": "\x7f",
    "backspace": "\x08", "enter": "\r", "tab": "\t", "escape": ESCAPE,
    "2": "\x00", "3": ESCAPE, "4": "\x1c", "5": "\x1d", "6": "\x1e", "7": "\x1f", "8": "\x7f",
}  # fmt: skip


class _Parts(NamedTuple):
    name: str
    modifiers: int
    """A sum of 1 for shift, 2 for alt and 4 for ctrl."""


def key_bytes(
    key: str, character: str | None = None, *, application_cursor: bool = False, application_keypad: bool = False
) -> bytes:
    """The bytes of a key as Textual names it (`ctrl+shift+left`, `f5`); none for a key that a terminal does not send.

    `character` is the text of the key, if it has one. Text is UTF-8; backspace is DEL, enter is CR.
    """
    name, modifiers = _parts(key)
    alt = ESCAPE if modifiers & _MODIFIERS["alt"] else ""
    if (sequence := _sequence(name, modifiers, application_cursor)) is not None:
        return sequence.encode()
    if name in _KEYPAD:
        plain, letter = _KEYPAD[name]
        text = f"{ESCAPE}O{letter}" if application_keypad else plain
    elif modifiers & _MODIFIERS["ctrl"]:
        text = _control(name)
    elif name == "tab" and modifiers & _MODIFIERS["shift"]:
        text = f"{ESCAPE}[Z"
    elif name in _SIMPLE_KEYS:
        text = _SIMPLE_KEYS[name]
    elif character and character.isprintable():
        text = character
    else:
        text = _text(name, modifiers)
    return (alt + text).encode("utf-8", errors="ignore") if text else b""


def _text(name: str, modifiers: int) -> str:
    """The character of a key that came without one: terminals that report every key do so for Alt."""
    character = name if len(name) == 1 else _RENAMED.get(name) or key_to_character(name) or ""
    if not character.isprintable():
        return ""
    return character.upper() if modifiers & _MODIFIERS["shift"] else character


def _parts(key: str) -> _Parts:
    *names, name = key.split("+") if not key.endswith("+") else [key]
    modifiers = 0
    for modifier in names:
        modifiers |= _MODIFIERS.get(modifier, 0)
    if name == "backtab":
        return _Parts("tab", modifiers | _MODIFIERS["shift"])
    if (
        len(name) > 1 and name[0] == "f" and name[1:].isdecimal() and int(name[1:]) > 20
    ):  # as Textual names ctrl+shift+f9
        return _Parts("", 0)
    return _Parts(name, modifiers)


def _sequence(name: str, modifiers: int, application_cursor: bool) -> str | None:
    """A key that sends an escape sequence, in which the modifiers are a number."""
    if name in _CURSOR_KEYS:
        if modifiers:
            return f"{ESCAPE}[1;{modifiers + 1}{_CURSOR_KEYS[name]}"
        return f"{ESCAPE}{'O' if application_cursor else '['}{_CURSOR_KEYS[name]}"
    if name in _FUNCTION_LETTERS:
        if modifiers:
            return f"{ESCAPE}[1;{modifiers + 1}{_FUNCTION_LETTERS[name]}"
        return f"{ESCAPE}O{_FUNCTION_LETTERS[name]}"
    number = _EDITING_KEYS.get(name) or _FUNCTION_NUMBERS.get(name)
    if number is None:
        return None
    return f"{ESCAPE}[{number};{modifiers + 1}~" if modifiers else f"{ESCAPE}[{number}~"


def _control(name: str) -> str:
    if name in _CONTROL_NAMES:
        return _CONTROL_NAMES[name]
    if len(name) == 1 and "a" <= name.lower() <= "z":
        return chr(ord(name.lower()) - ord("a") + 1)
    return ""
