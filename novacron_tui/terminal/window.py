"""What the terminal is told besides text: the title of its window, its clipboard and its bell.

Inside tmux and GNU screen a sequence for the terminal around them is wrapped. Sources: xterm's control sequences (OSC 2
and 52, XTWINOPS 22 and 23), tmux's manual (`allow-passthrough`), screen's manual ("Control Sequences", DCS).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from novacron_tui.terminal.capabilities import is_bare

BELL = "\a"
KEEP_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"
"""Terminals that keep no titles ignore both."""
MAX_TITLE = 80
"""Characters: tabs of terminals show some thirty."""
_SCREEN_PIECE = 500
"""Bytes that are passed on at once: screen drops a string of more than 768."""


def takes_title(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal has a title to set, and the operator wants it set. Others may show it as text."""
    return _wanted("NOVACRON_TITLE", environment) and bool(environment.get("TERM")) and not is_bare(environment)


def rings(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the operator wants to hear when an operation ends."""
    return _wanted("NOVACRON_BELL", environment)


def _wanted(setting: str, environment: Mapping[str, str]) -> bool:
    return environment.get(setting, "1").lower() not in ("0", "no", "off", "false")


def title(text: str) -> str:
    """The sequence that sets the title. Control characters, which would end it, are left out."""
    plain = "".join(char for char in text if char.isprintable())[:MAX_TITLE]
    return f"\x1b]2;{plain}\a"


def copying(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The sequences that put a text on the clipboard of the terminal, through what is between.

    tmux takes the bare sequence with `set-clipboard on`, and passes the wrapped one with `allow-passthrough on`: it gets
    both. Over SSH only TERM tells, and that of screen is used by tmux too: tmux ignores what is wrapped for screen.
    """
    bare = f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\a"
    kind = environment.get("TERM", "")
    if environment.get("TMUX") or kind.startswith("tmux"):
        return f"{bare}\x1bPtmux;{bare.replace(chr(27), chr(27) * 2)}\x1b\\"
    if environment.get("STY") or kind.startswith("screen"):
        pieces = (bare[at : at + _SCREEN_PIECE] for at in range(0, len(bare), _SCREEN_PIECE))
        return bare + "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return bare
