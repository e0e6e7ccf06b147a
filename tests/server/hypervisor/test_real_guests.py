"""Real QEMU: the whole life of an Alpine guest, and guests that outlive their libvirtd.

On qemu:///system if it is usable, else on a private libvirtd; never both, because the code path is the same.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import State
from novacron_core.errors import Conflict, HostUnavailable
from novacron_server.hypervisor import (
    DiskSpec,
    DomainSpec,
    LibvirtHost,
    NICSpec,
    OwnershipTag,
    PoolSpec,
    VolumeSpec,
)
from tests.support.fair_clock import fair_now
from tests.support.initrd import images
from tests.support.libvirt_hosts import MIB, QUICK, remove_domain

pytestmark = pytest.mark.qemu


def _minimal_spec(name: str) -> DomainSpec:
    """A domain without a disk or kernel, whose firmware waits forever."""
    return DomainSpec(uuid=str(uuid4()), name=name, vcpus=1, memory_bytes=32 * MIB, virtualization="qemu")


async def _state(host: LibvirtHost, uuid: str) -> State:
    facts = await host.read_domain(uuid)
    assert facts is not None
    return facts.state


async def test_alpine_guest_from_creation_to_deletion(qemu: Any, work_folder: Path) -> None:
    host: LibvirtHost = qemu.host
    demo = images()
    pool = PoolSpec(uuid=str(uuid4()), name=f"novacron-test-{uuid4().hex[:8]}", path=str(work_folder / "pool"))
    await host.storage.ensure_pool(pool)
    assert (work_folder / "pool").stat().st_mode & 0o777 == 0o711
    await host.storage.create_volume(VolumeSpec(pool=pool.name, name="disk", size_bytes=1024 * MIB))
    for kind in ("kernel", "initrd"):
        size = demo[kind].stat().st_size
        await host.storage.create_volume(VolumeSpec(pool=pool.name, name=kind, size_bytes=size, format="raw"))
    reported: list[tuple[int, int]] = []
    await host.storage.upload_volume(
        pool.name, "disk", demo["qcow2"], lambda sent, total: reported.append((sent, total)), tenant=None
    )
    assert reported[-1] == (demo["qcow2"].stat().st_size,) * 2
    for kind in ("kernel", "initrd"):
        await host.storage.upload_volume(pool.name, kind, demo[kind], tenant=None)
        assert (work_folder / "pool" / kind).read_bytes() == demo[kind].read_bytes()
    await host.storage.resize_volume(pool.name, "disk", 1024 * MIB, "qcow2")
    with pytest.raises(Conflict, match="cannot be shrunk"):
        await host.storage.resize_volume(pool.name, "disk", 512 * MIB, "qcow2")
    volumes = {v.name: v for v in await host.storage.read_volumes() if v.pool == pool.name}
    assert (volumes["disk"].size_bytes, volumes["disk"].format) == (1024 * MIB, "qcow2")
    spec = DomainSpec(
        uuid=str(uuid4()),
        name=f"nvt-{uuid4().hex[:8]}",
        vcpus=1,
        memory_bytes=256 * MIB,
        virtualization="qemu",
        disks=(DiskSpec(pool=pool.name, volume="disk"),),
        nics=(NICSpec(),),
        kernel=volumes["kernel"].path,
        initrd=volumes["initrd"].path,
        cmdline="root=/dev/vda rw rootflags=rw console=ttyS0 rootfstype=ext4",
        description="[/red] <disk type='file'/> ]]> \u202e\u0085",
        tag=OwnershipTag(instance="i", tenant="t", operation="o", generation=1),
    )
    try:
        await _check_lifecycle(qemu, spec)
        with pytest.raises(Conflict, match="in use by another running VM"):
            await host.storage.resize_volume(pool.name, "disk", 2048 * MIB, "qcow2")
        await _wait_for_console_text(host, spec, "Linux version")
        await host.power_off(spec.uuid)
        assert await _state(host, spec.uuid) is State.STOPPED
    finally:
        await remove_domain(host, spec.uuid)
        for name in ("disk", "kernel", "initrd"):
            await host.storage.delete_volume(pool.name, name)
        await host.storage.delete_pool(pool.name)
    assert not (work_folder / "pool").exists()
    assert pool.name not in {known.name for known in await host.storage.read_pools()}
    assert spec.uuid not in {domain.uuid for domain in await host.read_domains()}
    assert pool.name not in {volume.pool for volume in await host.storage.read_volumes()}


async def _check_lifecycle(watched: Any, spec: DomainSpec) -> None:
    """Define, start, pause and resume the guest, and check what is read meanwhile."""
    host: LibvirtHost = watched.host
    await host.define(spec)
    await host.define(spec)
    stopped = await host.read_domain(spec.uuid)
    assert stopped is not None
    assert (stopped.description, stopped.tag) == (spec.description, spec.tag)
    assert (stopped.disks[0].pool, stopped.disks[0].volume) == (spec.disks[0].pool, "disk")
    await host.start(spec.uuid)
    running = await host.read_domain(spec.uuid)
    assert running is not None
    assert running.state is State.RUNNING
    assert running.xml_digest == stopped.xml_digest, "a start does not change the definition"
    assert running.guest_agent is False
    with pytest.raises(Conflict, match="already running"):
        await host.start(spec.uuid)
    await host.pause(spec.uuid)
    assert await _state(host, spec.uuid) is State.PAUSED
    await host.resume(spec.uuid)
    assert await _state(host, spec.uuid) is State.RUNNING
    await watched.until(lambda: any(hint.uuid == spec.uuid for hint in watched.hints))


async def _wait_for_console_text(host: LibvirtHost, spec: DomainSpec, text: str) -> None:
    """Restart the guest while reading its serial console, and wait for `text`."""
    console = subprocess.Popen(
        ["script", "-qfc", f"virsh -c '{host.uri}' console --force {spec.uuid}", "/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert console.stdout is not None
    seen = bytearray()
    handle = console.stdout.fileno()

    def read() -> None:
        while piece := os.read(handle, 4096):
            seen.extend(piece)

    threading.Thread(target=read, daemon=True).start()
    try:
        end, again = fair_now() + 90, 0.0
        while text.encode() not in seen:
            assert fair_now() < end, bytes(seen[-2000:])
            if fair_now() >= again:  # output from before virsh was connected is lost, so it boots again
                await host.reset(spec.uuid)
                again = fair_now() + 25
            assert await _state(host, spec.uuid) is State.RUNNING
            await asyncio.sleep(0.05)
    finally:
        console.kill()
        console.wait()


async def test_cancelled_upload_stops_and_its_volume_can_be_deleted(qemu: Any, work_folder: Path) -> None:
    host: LibvirtHost = qemu.host
    pool = PoolSpec(uuid=str(uuid4()), name=f"novacron-test-{uuid4().hex[:8]}", path=str(work_folder / "pool"))
    await host.storage.ensure_pool(pool)
    image = work_folder / "image"
    with image.open("wb") as file:
        file.truncate(2048 * MIB)
    await host.storage.create_volume(VolumeSpec(pool=pool.name, name="v", size_bytes=2048 * MIB, format="raw"))
    cancel = threading.Event()
    reported: list[int] = []

    def progress(sent: int, _total: int) -> None:
        reported.append(sent)
        cancel.set()

    try:
        with pytest.raises(Conflict, match="cancelled"):
            await host.storage.upload_volume(pool.name, "v", image, progress, tenant=None, cancel=cancel)
        assert reported[-1] < 2048 * MIB
        await host.storage.delete_volume(pool.name, "v")
    finally:
        await host.storage.delete_volume(pool.name, "v")
        await host.storage.delete_pool(pool.name)


async def test_guests_outlive_their_libvirtd(libvirtd: Any, watch: Callable[..., Any]) -> None:
    watched = watch(libvirtd.uri, QUICK)
    host: LibvirtHost = watched.host
    await host.open()
    spec = _minimal_spec("survivor")
    await host.define(spec)
    await host.start(spec.uuid)
    try:
        libvirtd.kill()
        await watched.until_status(HostStatus.DOWN, 3)
        with pytest.raises(HostUnavailable):
            await host.read_domain(spec.uuid)
        libvirtd.start()
        await watched.until_status(HostStatus.UP, 10)
        assert await _state(host, spec.uuid) is State.RUNNING
    finally:
        await remove_domain(host, spec.uuid)


async def test_upload_to_a_hung_host_fails(libvirtd: Any, watch: Callable[..., Any], work_folder: Path) -> None:
    watched = watch(libvirtd.uri, QUICK)
    host: LibvirtHost = watched.host
    await host.open()
    pool = PoolSpec(uuid=str(uuid4()), name="p", path=str(work_folder / "pool"))
    await host.storage.ensure_pool(pool)
    image = work_folder / "image"
    with image.open("wb") as file:
        file.truncate(4096 * MIB)
    await host.storage.create_volume(VolumeSpec(pool="p", name="v", size_bytes=4096 * MIB, format="raw"))
    stopped_at: list[float] = []

    def progress(_sent: int, _total: int) -> None:
        if not stopped_at:
            libvirtd.signal(signal.SIGSTOP)
            stopped_at.append(fair_now())

    with pytest.raises(HostUnavailable):
        await host.storage.upload_volume("p", "v", image, progress, tenant=None)
    assert fair_now() - stopped_at[0] < 7
    libvirtd.signal(signal.SIGCONT)
    await watched.until_status(HostStatus.UP, 10)
    await host.storage.delete_volume("p", "v")
    await host.storage.delete_pool("p")
