"""Transfers of a host: waiting for a thread and flushing a disk are no stall, and two relays never block each other."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from novacron_core.errors import Conflict, HostUnavailable
from novacron_server.hypervisor.connection.session import HostSession
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, Timing
from novacron_server.hypervisor.connection.thread_lanes import ThreadLane
from novacron_server.hypervisor.host_storage import run_both
from novacron_server.hypervisor.storage import file_copies
from novacron_server.hypervisor.storage.file_copies import FileCopy
from novacron_server.hypervisor.transfers import Transfers
from novacron_server.hypervisor.vms.domains import DomainReader

STALL_S = 1.2
LONGER_THAN_A_STALL_S = 3.0


def connected(session: HostSession[DomainReader], connection: Any) -> None: ...


@pytest_asyncio.fixture
async def transfers() -> AsyncIterator[Transfers]:
    """Those of a simulated host, with limits that a test can wait for."""
    timing = Timing(stall_s=STALL_S, flush_s=60.0)
    supervisor = ConnectionSupervisor(
        "test:///default",
        timing,
        DomainReader,
        on_status=lambda: None,
        on_event=lambda kind, uuid: None,
        on_connect=connected,
    )
    await supervisor.open()
    yield Transfers(supervisor, ThreadLane("transfers", 2))
    await supervisor.close()


class Work:
    """A transfer that lasts until it is cancelled or `end` is set, and makes progress only if `moves`."""

    def __init__(self, *, moves: bool, flushes: bool = False) -> None:
        self.moved_at = time.monotonic()
        self.flushing = flushes
        self.cancel, self.end = threading.Event(), threading.Event()
        self._moves = moves

    def run(self, _connection: Any) -> str:
        while not self.end.wait(0.05) and not self.cancel.is_set():
            if self._moves:
                self.moved_at = time.monotonic()
        return "done"


async def held(transfers: Transfers, work: Work) -> str:
    async with transfers.threads.hold(None):
        return await transfers.run(work, work.run, "copy")


async def test_transfer_that_waits_for_a_thread_has_not_stalled(transfers: Transfers) -> None:
    first, second, third = works = [Work(moves=True) for _ in range(3)]
    tasks = [asyncio.create_task(held(transfers, work)) for work in works]
    await asyncio.sleep(LONGER_THAN_A_STALL_S)
    assert transfers.threads.must_wait("red")
    assert not any(task.done() for task in tasks), "the third only waits"
    for work in (first, second, third):
        work.end.set()
    assert await asyncio.gather(*tasks) == ["done"] * 3
    assert not transfers.threads.must_wait("red", 2)


async def test_transfer_without_progress_is_ended_unless_it_flushes(transfers: Transfers) -> None:
    stalled, flushing = Work(moves=False), Work(moves=False, flushes=True)
    flush = asyncio.create_task(held(transfers, flushing))
    with pytest.raises(HostUnavailable, match="cannot copy: no progress for 1 seconds"):
        await held(transfers, stalled)
    await asyncio.sleep(LONGER_THAN_A_STALL_S)
    assert not flush.done()
    flushing.end.set()
    assert await flush == "done"


@pytest.mark.timeout(30)
async def test_two_relays_do_not_hold_one_thread_each(transfers: Transfers) -> None:
    held_by: list[str] = []

    async def relay(name: str) -> None:
        async with transfers.threads.hold("red", 2):
            held_by.append(name)
            await asyncio.sleep(0.05)
            assert held_by.pop() == name, "both had their threads at once"

    singles = [Work(moves=True), Work(moves=True)]
    tasks = [asyncio.create_task(held(transfers, single)) for single in singles]
    await asyncio.sleep(0)
    relays = [asyncio.create_task(relay(name)) for name in "abc"]
    await asyncio.sleep(0)
    relays[1].cancel()
    for single, task in zip(singles, tasks, strict=True):  # one after the other: each relay could get one of them
        single.end.set()
        await task
    with suppress(asyncio.CancelledError):
        await relays[1]
    await asyncio.gather(relays[0], relays[2])
    assert not transfers.threads.must_wait("red", 2), "one that no longer waits has given back what it had"


@pytest.mark.parametrize("name", ["b", None])
async def test_error_of_a_file_is_not_called_an_answer_of_libvirt(transfers: Transfers, name: str | None) -> None:
    work = Work(moves=True)

    def fail(_connection: Any) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), *([f"/pools/{name}"] if name else []))

    shown = "cannot copy: b: Input/output error" if name else "cannot copy: Input/output error"
    async with transfers.threads.hold(None):
        with pytest.raises(Conflict, match=f"^{shown}$"):
            await transfers.run(work, fail, "copy")


async def test_cause_of_a_broken_pipe_is_told_and_not_the_pipe(transfers: Transfers) -> None:
    def fail(error: Exception) -> Callable[[Any], str]:
        def work(_connection: Any) -> str:
            raise error

        return work

    ends = [io.BytesIO(), io.BytesIO()]
    for errors in ([BrokenPipeError(errno.EPIPE, "pipe"), Conflict("full")], [Conflict("full"), BrokenPipeError()]):
        halves = [transfers.run(Work(moves=True), fail(error), "copy") for error in errors]
        with pytest.raises(Conflict, match=r"^full$"):
            await run_both(*halves, closing=ends)


def test_copy_is_flushed_piece_by_piece_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copies, "_FLUSH_EVERY", 4 << 20)
    (tmp_path / "a").write_bytes(b"x" * (16 << 20))
    (tmp_path / "b").touch()
    copy = FileCopy(tmp_path / "a", tmp_path / "b", lambda *_: None, threading.Event())
    flushes: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: flushes.append(copy.flushing))
    copy.run()
    assert len(flushes) == 6, "four pieces, what is left, and the directory"
    assert all(flushes), "a flush is no stall"
    assert not copy.flushing
