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
    r"|(?:^|(?<=[\s'\"=(\[{:;,|‹“`]))(?:[a-zA-Z][\w+.-]*://[^\s'\"]+|/[^\s'\"]*[^\s'\".,;:)\]}`])"
)


@lru_cache(maxsize=256)  # the same sentence is the reason of each VM of a host
def without_paths(sentence: str) -> str:
    """The sentence without absolute paths and URLs: where things are on a host is for its administrators."""
    return _PLACES.sub("…", sentence)
