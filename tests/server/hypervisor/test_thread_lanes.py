"""Hung calls block a limited number of threads."""

from __future__ import annotations

import threading
from concurrent.futures import wait

import pytest

from novacron_server.hypervisor.connection.thread_lanes import ThreadLane


def test_threads_are_limited_and_reused() -> None:
    lane, gate = ThreadLane("bounded", 2), threading.Event()
    stuck = [lane.submit(lambda: gate.wait(10)) for _ in range(20)]
    wait(stuck[:1], timeout=0.05)
    assert len([t for t in threading.enumerate() if t.name.startswith("bounded-")]) == 2
    assert lane.running + lane.waiting == 20
    assert stuck[-1].cancel()
    gate.set()
    assert all(f.result(5) for f in stuck[:-1])
    assert lane.running == 0
    lane.stop()


def test_errors_are_passed_on_and_the_thread_continues() -> None:
    lane = ThreadLane("errors", 1)

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        lane.submit(fail).result(5)
    assert lane.submit(lambda: 7).result(5) == 7
    lane.stop()


def test_stopped_lane_refuses_calls_and_ends_its_threads() -> None:
    lane, gate, begun = ThreadLane("stopped", 1), threading.Event(), threading.Event()

    def wait_for_event() -> None:
        begun.set()
        gate.wait(10)

    running = lane.submit(wait_for_event)
    waiting = lane.submit(lambda: 1)
    assert begun.wait(5)
    lane.stop()
    assert waiting.cancelled()
    assert lane.submit(lambda: 2).cancelled()
    gate.set()
    running.result(5)
    for thread in [t for t in threading.enumerate() if t.name.startswith("stopped-")]:
        thread.join(5)
        assert not thread.is_alive()
