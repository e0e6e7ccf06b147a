"""Hung calls block a limited number of threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any

import pytest

from novacron_server.hypervisor.connection.thread_lanes import ThreadLane
from novacron_server.places import ACTS_FOR


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


def test_tenants_take_turns_however_many_calls_one_makes() -> None:
    lane, gate, order = ThreadLane("turns", 1), threading.Event(), list[str]()

    def submit(tenant: str, name: str) -> Future[None]:
        context = copy_context()
        context.run(ACTS_FOR.set, tenant)
        return context.run(lane.submit, lambda: order.append(name))

    lane.submit(gate.wait)
    calls = [submit("red", f"r{n}") for n in range(4)] + [submit("blue", "b0"), submit("blue", "b1"), submit("", "s0")]
    gate.set()
    wait(calls, 10)
    assert order == ["r0", "b0", "s0", "r1", "b1", "r2", "r3"]


def test_lane_hangs_when_each_of_its_calls_has_run_for_long() -> None:
    lane, gates = ThreadLane("hangs", 2), [threading.Event(), threading.Event()]
    calls: list[Future[Any]] = [lane.submit(gates[0].wait)]
    while lane.running < 1:
        time.sleep(0.01)
    assert not lane.hangs(0.0), "one thread is free"
    calls.append(lane.submit(gates[1].wait))
    waiting: Future[Any] = lane.submit(lambda: None)
    while lane.running < 2:
        time.sleep(0.01)
    assert not lane.hangs(60.0), "the calls have just begun"
    time.sleep(0.2)
    assert lane.hangs(0.1)
    for gate in gates:
        gate.set()
    wait([*calls, waiting], 10)
    assert not lane.hangs(0.0)
