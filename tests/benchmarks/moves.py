"""Moves between tiers: a stopped one beside `cp --sparse=always` and `cmp` of the same file, a running one from inside
the guest that keeps writing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from novacron_core.api import volumes
from novacron_core.api.volumes import VolumeCreate
from novacron_core.values.tiers import TierName
from tests.benchmarks.figure import Figure, median
from tests.support import writing_guest
from tests.support.storage import StorageServer, move, open_storage_server

SIZE, NOISE = 2 << 30, 768 << 20
ROUNDS = 3
THERE_AND_BACK: list[TierName] = ["cold", "hot"]


def measure() -> Iterator[Figure]:
    stopped, floor, quiet, moving, failed = asyncio.run(_run())
    # Both passes move the noise once: bytes per second.
    yield Figure(
        "a stopped move of 2 GiB with 768 MiB in it",
        NOISE / stopped / 2**20,
        "MiB/s",
        0.9,
        floor=NOISE / floor / 2**20,
        floor_name="cp --sparse=always, cmp; nothing flushed",
        at_least=True,
    )
    yield Figure("longest pause of a guest that writes, in running moves", max(moving), "ms", 200, absolute=True)
    yield Figure("the same guest before, for comparison", max(quiet), "ms", 200, absolute=True)
    yield Figure("failed writes of that guest", failed, "writes", 0, absolute=True)


async def _run() -> tuple[float, float, list[int], list[int], int]:
    async with open_storage_server() as storage:
        stopped, floor = await _stopped(storage)
        quiet, moving, failed = await _running(storage)
    return stopped, floor, quiet, moving, failed


async def _stopped(storage: StorageServer) -> tuple[float, float]:
    body = VolumeCreate(name="bench", size_bytes=SIZE, format="raw")
    await storage.succeeded(await storage.admin.call(volumes.CREATE, body=body))
    volume = await storage.volume("bench")
    with storage.path(volume).open("r+b") as file:
        for number in range(NOISE >> 20):  # in pieces, with holes between them
            file.seek((number * SIZE // (NOISE >> 20)) >> 20 << 20)
            file.write(os.urandom(1 << 20))
    took, floors = [], []
    for tier in THERE_AND_BACK * ROUNDS:
        floors.append(await asyncio.to_thread(_floor, storage.path(await storage.volume("bench"))))
        ended = await storage.succeeded(await move(storage, volume, tier))
        assert ended.finished_at is not None
        assert ended.started_at is not None
        took.append((ended.finished_at - ended.started_at).total_seconds())
    return median(took), median(floors)


def _floor(path: Path) -> float:
    copy = path.with_name("floor")
    began = time.monotonic()
    subprocess.run(["cp", "--sparse=always", str(path), str(copy)], check=True)
    subprocess.run(["cmp", str(path), str(copy)], check=True)
    took = time.monotonic() - began
    copy.unlink()
    return took


async def _running(storage: StorageServer) -> tuple[list[int], list[int], int]:
    writing_guest.add_image(storage.server.data_dir / "images")
    vm = await writing_guest.started(storage, "writer")
    said = writing_guest.WriteLog(storage.daemon.uri, vm.id)
    await asyncio.to_thread(said.wait_for, 100)
    begun = len(said.gaps)
    volume = await storage.volume(vm.disks[0].source.rpartition("/")[2])
    for tier in THERE_AND_BACK * ROUNDS:
        await storage.succeeded(await move(storage, volume, tier))
        await asyncio.to_thread(said.wait_for, 10)
    said.close()
    return said.gaps[10:begun], said.gaps[begun:], len(said.failed)
