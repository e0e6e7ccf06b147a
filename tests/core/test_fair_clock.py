"""The clock by which tests wait: it counts what the product takes, and not what a machine that stands still takes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from tests.support.fair_clock import fair_now

_SLEEPS = """
import sys, time
from tests.support.fair_clock import fair_now
began, real = fair_now(), time.monotonic()
print(flush=True)
while time.monotonic() - real < 1.0:
    time.sleep(0.01)
print(fair_now() - began, time.monotonic() - real)
"""


def test_it_goes_on_while_a_thread_is_blocked() -> None:
    began = fair_now()
    time.sleep(0.5)
    assert fair_now() - began > 0.4


def test_it_stands_still_while_the_process_does() -> None:
    with subprocess.Popen([sys.executable, "-c", _SLEEPS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(process.pid, signal.SIGCONT)
        fair, real = map(float, process.stdout.read().split())
    assert real >= 2.0
    assert fair < real - 1.5
