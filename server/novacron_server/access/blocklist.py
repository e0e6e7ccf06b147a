"""Passwords that are long enough and guessed first all the same. Source of the rule: NIST SP 800-63B-4, 3.1.1.2."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Of 15 characters and more, among the most frequent ones of published breach lists, letters and digits only.
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
_ENOUGH = 8
"""Characters that have to remain when everybody's words and their digits are taken out."""


def why_not_common(password: str, username: str = "") -> str | None:
    """The sentence that refuses a password that is tried early, or None."""
    plain = re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", password).casefold())
    if plain in _COMMON or _is_run(plain) or _repeats(plain):
        return "this password is one of the first that are tried; three or four unrelated words do well"
    names = tuple(part for part in re.split(r"[\W_]", username.casefold()) if len(part) > 2)
    left = min((_left(form, names) for form in (plain, plain.translate(_LEET))), key=len)
    if len(left) < _ENOUGH:
        return "this password is made of words that are tried first; three or four unrelated words do well"
    return None


def _left(text: str, names: tuple[str, ...]) -> str:
    """What is one's own in it: without such words, and then without the digits that go with them."""
    left = text
    for word in (*sorted(names, key=len, reverse=True), *_WORDS):
        left = left.replace(word, "")
    return left if left == text else re.sub(r"\d", "", left)


def _is_run(text: str) -> bool:
    """`123456789012345`, `abcdefghijklmno`: each character follows the one before it, or digits wrap around."""
    steps = {(ord(b) - ord(a)) % 10 if text.isdigit() else ord(b) - ord(a) for a, b in pairwise(text)}
    return len(text) > 3 and (steps <= {1} or steps <= {-1} or (text.isdigit() and steps <= {9}))


def _repeats(text: str) -> bool:
    """A short piece over and over: `abcabcabcabcabc`."""
    return any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)] for size in range(1, min(9, len(text) // 2 + 1))
    )
