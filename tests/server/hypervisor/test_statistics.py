"""Counters of real guests agree with libvirt's own statistics."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from novacron_core.errors import HostUnavailable
from novacron_server.hypervisor import DiskSpec, DomainSpec, LibvirtHost, PoolSpec, Timing, VolumeSpec
from novacron_server.metrics.meter import HostMeter
from tests.support.initrd import BUSY, copy_kernel, write_initrd
from tests.support.libvirt_hosts import MIB, remove_domain

pytestmark = pytest.mark.qemu


def domstats(uri: str, uuid: str) -> dict[str, int]:
    """libvirt's own counters, from a separate connection."""
    connection = libvirt.open(uri)
    try:
        ((_, stats),) = connection.domainListGetStats([connection.lookupByUUIDString(uuid)], 0, 0)
        return dict(stats)
    finally:
        connection.close()


async def test_hung_host_blocks_only_two_threads(libvirtd: Any, watch: Callable[..., Any]) -> None:
    """Even without keepalive, reads do not pile up, and calls are refused in time."""
    watched = watch(libvirtd.uri, Timing(statistics_s=0.3, keepalive_s=60, heartbeat_s=60))
    await watched.host.open()
    await watched.host.read_counters("quick")
    libvirtd.signal(signal.SIGSTOP)
    try:
        for _ in range(5):
            reads = (watched.host.read_counters(group) for group in ("quick", "disks", "quick"))
            results = await asyncio.gather(*reads, return_exceptions=True)  # the next ones come when all were given up
            assert [type(result) for result in results] == [HostUnavailable] * 3
        lane = watched.host._supervisor.statistics
        assert lane.running == 2
        assert lane.waiting <= 3, "abandoned calls are dropped"
        assert sum("statistics" in thread.name for thread in threading.enumerate()) == 2
    finally:
        libvirtd.signal(signal.SIGCONT)


async def test_counters_of_a_real_guest_agree_with_domstats(qemu: Any, work_folder: Path) -> None:
    host: LibvirtHost = qemu.host
    pool = PoolSpec(uuid=str(uuid4()), name=f"novacron-test-{uuid4().hex[:8]}", path=str(work_folder / "pool"))
    kernel, initrd = copy_kernel(work_folder), write_initrd(work_folder, BUSY)
    await host.storage.ensure_pool(pool)
    await host.storage.create_volume(VolumeSpec(pool=pool.name, name="disk", size_bytes=16 * MIB, format="raw"))
    spec = DomainSpec(
        uuid=str(uuid4()),
        name=f"nvt-{uuid4().hex[:8]}",
        vcpus=1,
        memory_bytes=160 * MIB,
        virtualization="qemu",
        disks=(DiskSpec(pool=pool.name, volume="disk", format="raw"),),
        kernel=str(kernel),
        initrd=str(initrd),
        cmdline="console=ttyS0 quiet",
    )
    try:
        await host.define(spec)
        await host.start(spec.uuid)
        await _agree_with_domstats(host, spec.uuid)
        await _check_memory_period(host, spec.uuid)
    finally:
        await remove_domain(host, spec.uuid)
        await host.storage.delete_volume(pool.name, "disk")
        await host.storage.delete_pool(pool.name)


async def _agree_with_domstats(host: LibvirtHost, uuid: str) -> None:
    """Both are read one after the other, which on a busy machine can be far apart: a wrong counter or unit differs in
    every try."""
    await _wait_until_writing(host, uuid)
    for _ in range(4):
        with contextlib.suppress(AssertionError):
            return await _compare_with_domstats(host, uuid)
    await _compare_with_domstats(host, uuid)


async def _compare_with_domstats(host: LibvirtHost, uuid: str) -> None:
    """Compare CPU, disk and memory over the same seconds, within five percent."""
    meter = HostMeter()
    facts = {facts.uuid: facts for facts in await host.read_domains()}
    assert facts[uuid].memory_period_s == 5

    async def read() -> dict[str, int]:
        for group in ("disks", "quick"):
            meter.record(await host.read_counters(group), facts, None, 5.0)
        return await asyncio.to_thread(domstats, host.uri, uuid)

    before, began = await read(), time.monotonic()
    await asyncio.sleep(6)
    now, took_s = await read(), time.monotonic() - began
    sample = meter.vms[uuid].sample

    def rate(name: str) -> float:
        return (now[name] - before[name]) / took_s

    assert sample.cpu_cores is not None
    assert sample.cpu_cores == pytest.approx(rate("cpu.time") / 1e9, rel=0.05)
    assert sample.cpu_cores > 0.2
    assert sample.disk_write_bytes_s == pytest.approx(rate("block.0.wr.bytes"), rel=0.05)
    assert sample.disk_read_bytes_s == pytest.approx(rate("block.0.rd.bytes"), rel=0.05)
    assert sample.disk_writes_s == pytest.approx(rate("block.0.wr.reqs"), rel=0.05)
    assert set(meter.vms[uuid].disks) == {"vda"}
    assert sample.memory_given_bytes == now["balloon.current"] * 1024 == 160 * MIB
    used = (now["balloon.available"] - now["balloon.usable"]) * 1024
    assert sample.memory_used_bytes == pytest.approx(used, rel=0.05)
    assert meter.sample.cpu_percent is not None and meter.sample.memory_used_bytes


async def _wait_until_writing(host: LibvirtHost, uuid: str) -> None:
    """Wait until the guest writes and its balloon driver has reported memory."""
    deadline = time.monotonic() + 60
    while True:
        stats = await asyncio.to_thread(domstats, host.uri, uuid)
        if stats.get("block.0.wr.bytes", 0) > MIB and stats.get("balloon.usable"):
            return
        assert time.monotonic() < deadline, stats
        await asyncio.sleep(0.2)


async def _check_memory_period(host: LibvirtHost, uuid: str) -> None:
    """Set the memory period to off and on again, live and in the definition."""
    for period in (0, 5):
        await host.set_memory_period(uuid, period)
        (facts,) = [facts for facts in await host.read_domains() if facts.uuid == uuid]
        assert facts.memory_period_s == period
