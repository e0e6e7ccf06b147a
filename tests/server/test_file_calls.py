"""A file system that hangs costs the calls to it, one thread, and nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from novacron_server.file_calls import DoesNotRespond, FileCalls
from tests.support.dead_mounts import DeadMount
from tests.support.fair_clock import fair_now


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[DeadMount]:
    (tmp_path / "dead mount").mkdir()
    mount = DeadMount(tmp_path / "dead mount")
    mount.start()
    yield mount
    mount.end()


async def test_dead_mount_is_refused_and_remembered_until_it_answers(tmp_path: Path, dead: DeadMount) -> None:
    calls = FileCalls(1.0)
    with pytest.raises(DoesNotRespond, match=f"^{dead.path} does not respond: is its file server down"):
        calls.run(f"{dead.path}/a/b", (dead.path / "a" / "b").exists)
    threads = threading.active_count()
    for path in (dead.path, dead.path / "c"):
        began = time.monotonic()
        with pytest.raises(DoesNotRespond):
            await calls.call(str(path), path.stat)
        assert time.monotonic() - began < 1.0, "it is known"
    assert threading.active_count() == threads
    assert calls.run(str(tmp_path), tmp_path.exists)
    beside = tmp_path / "dead mount too"
    assert not await calls.call(str(beside), beside.exists)
    dead.end()
    end = fair_now() + 20
    while True:
        try:
            assert not calls.run(f"{dead.path}/a", (dead.path / "a").exists)
            break
        except DoesNotRespond:
            assert fair_now() < end
            await asyncio.sleep(0.05)


def test_threads_are_used_again_and_errors_are_raised(tmp_path: Path) -> None:
    calls, used = FileCalls(), set()
    for _ in range(50):
        used.add(calls.run("/", threading.get_ident))
    assert len(used) <= 2
    with pytest.raises(FileNotFoundError):
        calls.run(str(tmp_path / "x"), (tmp_path / "x").stat)


async def test_call_that_hangs_on_a_local_path_costs_only_what_is_below(tmp_path: Path) -> None:
    calls, go = FileCalls(1.0), threading.Event()
    with pytest.raises(DoesNotRespond, match=f"^{tmp_path}/a does not respond"):
        await calls.call(f"{tmp_path}/a", go.wait)
    with pytest.raises(DoesNotRespond, match=f"^{tmp_path}/a does not respond"):
        await calls.call(f"{tmp_path}/a/b", go.wait)
    assert await calls.call(f"{tmp_path}/ab", lambda: True)
    go.set()
    end = fair_now() + 20
    while True:
        try:
            assert await calls.call(f"{tmp_path}/a/b", lambda: True)
            break
        except DoesNotRespond:
            assert fair_now() < end
            await asyncio.sleep(0.02)
