"""Work with a short deadline that must not be broken off: it ends in the background, in a process of its own."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable


def result_within(deadline_s: float, work: Callable[[], list[str]]) -> list[str]:
    """What `work` returns; [] when it fails or takes longer. It is not ended then: a session that is being renewed
    would be lost if the new token were not saved.

    Call it while this process has one thread only.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        _run_detached(writer, work)
    os.close(writer)
    try:
        text = _read_until(reader, time.monotonic() + deadline_s)
    finally:
        os.close(reader)
    return [str(name) for name in json.loads(text)] if text else []


def _run_detached(writer: int, work: Callable[[], list[str]]) -> None:
    """The child: away from the terminal, whose shell waits until nobody has its pipes any more. Never returns."""
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        data = json.dumps(work()).encode()
        while data:
            data = data[os.write(writer, data) :]
    finally:  # whatever is wrong, it is not said, and the code of the parent does not run twice
        os._exit(0)


def _read_until(reader: int, deadline: float) -> bytes:
    """Everything up to the end of the pipe; b"" when the deadline comes first."""
    text = b""
    while (left_s := deadline - time.monotonic()) > 0:
        if not select.select([reader], [], [], left_s)[0]:
            break
        if not (data := os.read(reader, 1 << 16)):
            return text
        text += data
    return b""
