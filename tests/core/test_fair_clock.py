"""The clock by which tests wait: it does not count the time in which the whole machine is stalled."""

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


def test_clock_continues_while_a_thread_is_blocked() -> None:
    began = fair_now()
    time.sleep(0.5)
    assert fair_now() - began > 0.4


def test_clock_stops_while_the_process_is_suspended() -> None:
    with subprocess.Popen([sys.executable, "-c", _SLEEPS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(process.pid, signal.SIGCONT)
        fair, real = map(float, process.stdout.read().split())
    assert real >= 2.0
    assert fair < real - 1.5
