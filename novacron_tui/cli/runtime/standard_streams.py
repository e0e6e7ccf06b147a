"""Standard streams that the caller closed (`>&-`). Python has None for them, and their numbers would go to the next
file or socket."""

from __future__ import annotations

import os
import sys

_STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))


def open_closed_streams() -> frozenset[str]:
    """Open /dev/null in place of the closed streams. Returns their names."""
    closed = [stream for stream in _STREAMS if getattr(sys, stream[0]) is None]
    for name, number, mode in closed:
        if not _is_open(number):
            opened = os.open(os.devnull, os.O_RDWR)
            if opened == number:
                os.set_inheritable(number, True)
            else:
                os.dup2(opened, number)
                os.close(opened)
        setattr(sys, name, os.fdopen(number, mode, closefd=False))
    return frozenset(name for name, _, _ in closed)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
