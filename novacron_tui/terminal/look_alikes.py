"""Different names that look the same, and what tells them apart."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection

from novacron_tui.terminal.safe_text import one_line


def look_alikes(names: Collection[str]) -> frozenset[str]:
    """Those of the names that look like another one, and are not plain ASCII.

    Names look alike when they differ only in how a letter is written (Unicode's NFKC), or in what is not shown.
    """
    alike: dict[str, set[str]] = {_look(name): set() for name in names if not name.isascii()}
    if not alike:
        return frozenset()
    for name in names:
        if (same := alike.get(name if name.isascii() else _look(name))) is not None:
            same.add(name)
    return frozenset(name for same in alike.values() if len(same) > 1 for name in same if not name.isascii())


def spelled_out(name: str) -> str:
    """What a name is made of: `cafe\\u0301`."""
    return json.dumps(name)[1:-1]


def _look(name: str) -> str:
    return unicodedata.normalize("NFKC", one_line(name))
