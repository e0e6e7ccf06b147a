"""Rejects passwords that are long enough but still guessed first. Source of the rule: NIST SP 800-63B-4, 3.1.1.2."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Passwords of 15 or more characters from the top of published breach lists, letters and digits only.
_COMMON = frozenset(
    [
        "1q2w3e4r5t6y7u8i9o0p",
        "1qaz2wsx3edc4rfv",
        "1qaz2wsx3edc4rfv5tgb",
        "1234567890qwerty",
        "qwertyuiop123456",
        "qwerty1234567890",
        "qwertyuiopasdfgh",
        "qwertyuiopasdfghjkl",
        "qwertyuiopasdfghjklzxcvbnm",
        "abcdefghijklmnop",
        "abcdefghijklmnopqrstuvwxyz",
        "zaq12wsxcde34rfv",
        "q1w2e3r4t5y6u7i8",
        "q1w2e3r4t5y6u7i8o9p0",
        "a1b2c3d4e5f6g7h8",
        "asdfghjklzxcvbnm",
        "poiuytrewqlkjhgf",
        "correcthorsebatterystaple",
        "iloveyouforever",
        "iloveyousomuch1",
        "thisismypassword",
        "mypasswordispassword",
        "letmeinletmeinletmein",
        "trustno1trustno1",
        "maythe4thbewithyou",
        "maytheforcebewithyou",
        "tobeornottobethatisthequestion",
        "thequickbrownfox",
        "thequickbrownfoxjumps",
        "thequickbrownfoxjumpsoverthelazydog",
        "loremipsumdolorsitamet",
        "opensesameopensesame",
        "passwordpassword",
        "password12345678",
        "administrator123",
        "administrator1234",
        "changemechangeme",
        "supersecretpassword",
        "mysecretpassword",
        "averylongpassword",
        "averystrongpassword",
        "verysecurepassword",
        "jesuschristismylord",
        "godisgoodallthetime",
        "happybirthdaytoyou",
        "onceuponatimeinamerica",
        "everybodylovesraymond",
    ]
)

_WORDS = (
    "administrator", "virtualmachine", "hypervisor", "passphrase", "iloveyou", "novacron", "password", "passwort",
    "changeme", "letmein", "welcome", "libvirt", "default", "console", "master", "secret", "server", "access",
    "system", "qwerty", "qwertz", "azerty", "asdfgh", "abcdef", "monkey", "dragon", "please", "admin", "login",
    "guest", "super", "user", "root", "test", "pass", "qemu",
)  # fmt: skip
_LEET = str.maketrans("01345$@!", "oieassai")
_MIN_REMAINING = 8
"""Characters that must remain after common words and the digits beside them are removed."""
_ADVICE = "three or four random words work well"


def why_not_common(password: str, username: str = "") -> str | None:
    """Why a password is too easy to guess, as a sentence for the user; None when it is fine."""
    plain = re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", password).casefold())
    if plain in _COMMON or _is_run(plain) or _repeats(plain):
        return f"Password is among the first that attackers try; {_ADVICE}"
    names = tuple(part for part in re.split(r"[\W_]", username.casefold()) if len(part) > 2)
    remaining = min((_remove_common_words(form, names) for form in (plain, plain.translate(_LEET))), key=len)
    if len(remaining) < _MIN_REMAINING:
        return f"Password consists of common words that attackers try first; {_ADVICE}"
    return None


def _remove_common_words(text: str, names: tuple[str, ...]) -> str:
    """The text without the names and common words and, if it had any, without digits too."""
    remaining = text
    for word in (*sorted(names, key=len, reverse=True), *_WORDS):
        remaining = remaining.replace(word, "")
    return remaining if remaining == text else re.sub(r"\d", "", remaining)


def _is_run(text: str) -> bool:
    """`123456789012345`, `abcdefghijklmno`: each character follows the one before it, or digits wrap around."""
    steps = {(ord(b) - ord(a)) % 10 if text.isdigit() else ord(b) - ord(a) for a, b in pairwise(text)}
    return len(text) > 3 and (steps <= {1} or steps <= {-1} or (text.isdigit() and steps <= {9}))


def _repeats(text: str) -> bool:
    """Whether the text repeats a short piece: `abcabcabcabcabc`."""
    return any(text == (text[:size] * (len(text) // size + 1))[: len(text)] for size in range(1, len(text) // 2 + 1))
