"""Hosts that hang, die and come back, on a private libvirtd, never on the system's."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest

from novacron_core.api.hosts import HostStatus
from novacron_core.errors import HostUnavailable
from novacron_server.hypervisor import Timing
from tests.support.fair_clock import fair_now

QUICK = Timing(open_s=1.5, backoff_first_s=0.1, backoff_max_s=0.5)


async def expect_refused(call: Any) -> float:
    """Expect that the call is refused because the host is down. Returns the seconds until then."""
    began = fair_now()
    with pytest.raises(HostUnavailable):
        await call
    return fair_now() - began


async def test_hung_host_is_detected_and_recovers(libvirtd: Any, watch: Callable[..., Any]) -> None:
    watched = watch(libvirtd.uri, QUICK)
    host = watched.host
    await host.open()
    assert host.status is HostStatus.UP
    assert host.facts.hostname == "one"
    libvirtd.signal(signal.SIGSTOP)
    assert await expect_refused(host.read_domains()) < 6
    await watched.until_status(HostStatus.DOWN, 1)
    assert await expect_refused(host.start("6695eb01-f6a4-8304-79aa-97f2502e193f")) < 0.05
    libvirtd.signal(signal.SIGCONT)
    assert await watched.until_status(HostStatus.UP, 10) < 10
    assert await host.read_domains() == []


async def test_keepalive_alone_detects_a_hung_host(libvirtd: Any, watch: Callable[..., Any]) -> None:
    """No calls are made, and the next heartbeat is far away."""
    watched = watch(libvirtd.uri, Timing(heartbeat_s=600, open_s=1))
    await watched.host.open()
    libvirtd.signal(signal.SIGSTOP)
    assert await watched.until_status(HostStatus.DOWN, 7) < 7
    libvirtd.signal(signal.SIGCONT)


async def test_killed_host_is_detected_at_once_and_reconnected(libvirtd: Any, watch: Callable[..., Any]) -> None:
    watched = watch(libvirtd.uri, QUICK)
    await watched.host.open()
    libvirtd.kill()
    assert await watched.until_status(HostStatus.DOWN, 2) < 2
    await expect_refused(watched.host.storage.read_pools())
    libvirtd.start()
    await watched.until_status(HostStatus.UP, 5)
    assert await watched.host.storage.read_pools() == []


async def test_host_that_hangs_during_open_is_opened_once(libvirtd: Any, watch: Callable[..., Any]) -> None:
    libvirtd.signal(signal.SIGSTOP)
    watched = watch(libvirtd.uri, QUICK)
    began = fair_now()
    await watched.host.open()
    assert fair_now() - began < 3
    assert watched.host.status is HostStatus.DOWN
    assert "no response" in watched.host.detail
    openers = [t for t in threading.enumerate() if t.name.startswith(f"{libvirtd.uri} open")]
    assert len(openers) == 1
    libvirtd.signal(signal.SIGCONT)
    await watched.until_status(HostStatus.UP, 5)


async def test_hung_host_does_not_slow_others(libvirtd_named: Callable[[str], Any], watch: Callable[..., Any]) -> None:
    hung, well = libvirtd_named("hung"), libvirtd_named("well")
    first, second = watch(hung.uri, QUICK), watch(well.uri, QUICK)
    await asyncio.gather(first.host.open(), second.host.open())
    hung.signal(signal.SIGSTOP)
    calls = [asyncio.create_task(expect_refused(first.host.read_domains())) for _ in range(100)]
    slowest = 0.0
    while not all(call.done() for call in calls):
        began = fair_now()
        assert await second.host.read_domains() == []
        slowest = max(slowest, fair_now() - began)
        await asyncio.sleep(0.02)  # the interval between calls, not a wait for a condition
    assert slowest < 1.0
    assert max(await asyncio.gather(*calls)) < 6
    assert second.statuses == [HostStatus.CONNECTING, HostStatus.UP]
    assert len([t for t in threading.enumerate() if t.name.startswith(hung.uri)]) <= 11
    hung.signal(signal.SIGCONT)


async def test_outside_changes_cause_hints(libvirtd: Any, watch: Callable[..., Any], work_folder: Any) -> None:
    watched = watch(libvirtd.uri, QUICK)
    await watched.host.open()
    await watched.host.read_domains()
    document = work_folder / "d.xml"
    document.write_text(
        "<domain type='qemu'><name>theirs</name><uuid>7b5c1a5e-9c8e-4f6e-8f7e-3b1f0a4b2c1d</uuid>"
        "<memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os></domain>"
    )
    virsh = ["virsh", "-c", libvirtd.uri]
    subprocess.run([*virsh, "define", str(document)], check=True, capture_output=True)
    uuid = "7b5c1a5e-9c8e-4f6e-8f7e-3b1f0a4b2c1d"
    await watched.until(lambda: any(h.kind == "domain" and h.uuid == uuid for h in watched.hints))
    before = await watched.host.read_domains(fresh=False)
    assert [d.name for d in before] == ["theirs"]
    watched.hints.clear()
    subprocess.run([*virsh, "desc", uuid, "--config", "changed <by> hand"], check=True, capture_output=True)
    await watched.until(lambda: any(h.uuid == uuid for h in watched.hints))
    after = await watched.host.read_domains(fresh=False)
    assert after[0].description == "changed <by> hand"
    assert after[0].xml_digest != before[0].xml_digest
