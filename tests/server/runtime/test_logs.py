"""Log lines on a terminal show what a stranger sent, and the terminal obeys none of it."""

from __future__ import annotations

import json
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


LIBRARIES = """
import asyncio, gc, logging, threading, warnings
from novacron_server.runtime import logs
logs.set_up()
async def fail():
    raise ValueError("two\\nlines")
async def main():
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
asyncio.run(main())
logging.getLogger("psycopg").warning("error ignored terminating %s", "a\\nb")
logging.getLogger("uvicorn.error").error("\x1b]0;x")
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Unraisable:
    def __del__(self):
        raise KeyError("x")
Unraisable()
raise RuntimeError("end")
"""


def test_every_line_of_a_log_that_is_no_terminal_is_json() -> None:
    ended = subprocess.run([sys.executable, "-c", LIBRARIES], capture_output=True, text=True, timeout=60, check=False)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    named = [line.get("logger", "") for line in lines]
    assert named == ["asyncio", "psycopg", "uvicorn.error", "py.warnings", "", "", ""]
    assert all(line["level"] in ("warning", "error", "critical") and line["timestamp"] for line in lines)
    tracebacks = [line["exception"].splitlines()[-1] for line in lines if "exception" in line]
    assert tracebacks == ["lines", "ZeroDivisionError: division by zero", "KeyError: 'x'", "RuntimeError: end"]
    assert "Traceback" in lines[0]["exception"] and "never retrieved" in lines[0]["event"]
    assert "\x1b" not in lines[2]["event"]
