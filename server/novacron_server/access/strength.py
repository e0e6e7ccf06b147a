"""How many guesses a password takes, by zxcvbn: common passwords, names, words, dates, keyboard rows and their variants.

Source of the rule: OWASP ASVS 5, 6.2.4 and 6.2.12.
"""

from __future__ import annotations

from collections.abc import Iterable

MIN_GUESSES_LOG10 = 12.0
_WINDOW = 24
"""Characters that are judged at once: zxcvbn's time grows steeply with the length of hostile text."""
_KINDS = {
    "repeat": "repeats itself",
    "dictionary": "consists of common words, names or passwords",
    "spatial": "follows the rows of a keyboard",
    "sequence": "follows the alphabet or counts",
    "date": "contains a date",
    "regex": "contains a year",
}
_ADVICE = "three or four random words work well"


def why_not_weak(password: str, known: Iterable[str] = ()) -> str | None:
    """Why a password takes too few guesses, as a sentence; None when it is fine. Blocking, up to half a second.

    `known` are words that an attacker knows, like the user name. The stronger of the first and last characters decides.
    """
    from zxcvbn import zxcvbn  # imported here: its word lists take a tenth of a second

    words = list(known)
    windows = {password[:_WINDOW], password[-_WINDOW:]}
    found = max(
        (zxcvbn(window, user_inputs=words) for window in windows), key=lambda each: float(each["guesses_log10"])
    )
    if found["guesses_log10"] >= MIN_GUESSES_LOG10:
        return None
    kinds = dict.fromkeys(_KINDS[each["pattern"]] for each in found["sequence"] if each["pattern"] in _KINDS)
    why = " and ".join(list(kinds)[:2]) or "is short"
    return f"Password is easy to guess, because it {why}; {_ADVICE}"
