"""Log lines on a terminal show what a stranger sent, and the terminal obeys none of it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

HOSTILE = "/\x1b]52;c;cHduZWQh\x07\x9b31m\u202ered\x7f\ue0001\U000e0041"


@pytest.mark.parametrize("terminal", [True, False])
def test_hostile_text_is_visible_and_harmless(terminal: bool) -> None:
    code = (
        "import structlog; from novacron_server.runtime import logs; logs.set_up()\n"
        f"structlog.get_logger('access').info('request', path={HOSTILE!r}, plain='a b')\n"
        "try:\n"
        f"    raise ValueError({HOSTILE!r})\n"
        "except ValueError as e:\n"
        "    structlog.get_logger().error('failed', exc_info=e)\n"
    )
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(30) == 0
    text = shown.decode()
    assert "]52;c;" in text and "ValueError" in text and "a b" in text
    for harmful in ("\x1b]", "\x07", "\x9b", "\u202e", "\x7f", "\U000e0041"):
        assert harmful not in text
