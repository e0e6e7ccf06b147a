"""Texts compared and shortened."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile


def shared_beginning(one: str, other: str) -> str:
    """The letters with which both begin."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in alike)


_PLACES = re.compile(
    r"(?<=')/[^']*(?=')"
    r'|(?<=")/[^"]*(?=")'
    r"|(?:^|(?<=[\s'\"=(\[{<>:;,|‹«“„`]))(?:[a-zA-Z][\w+.-]*://[^\s'\"]+|/[^\s'\"]*[^\s'\".,;:)\]}`>»“”])"
    r"|(?<![\w.-])[\w.-]++@[\w.-]++(?::/[^\s'\"]*[^\s'\".,;:)\]}])?"
    r"|(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?:(?::\d+)?\b)(?![\w.-]*\w)"
    r"|(?<![\w.-])(?:[\w-]++\.)+[a-zA-Z][\w-]*:\d{2,5}\b"
)


@lru_cache(maxsize=256)  # the same sentence is the reason of each VM of a host
def without_paths(sentence: str) -> str:
    """The sentence without absolute paths, URLs and addresses: where things are is for the host's administrators."""
    return _PLACES.sub("…", sentence)
