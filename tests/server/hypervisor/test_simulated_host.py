"""The whole host interface on libvirt's test driver, without failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import libvirt
import pytest

from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import State
from novacron_core.errors import Conflict, HostUnavailable, InvalidArgument, NotFound
from novacron_server.hypervisor import (
    DiskSpec,
    DomainSpec,
    Hint,
    LibvirtHost,
    NICSpec,
    OwnershipTag,
    PoolSpec,
    VolumeSpec,
)
from novacron_server.hypervisor.connection.session import start_default_network

GIB = 1024**3
NODE = """<node>
  <cpu><mhz>3000</mhz><model>x86_64</model><active>4</active><nodes>1</nodes><sockets>1</sockets><cores>4</cores>
    <threads>1</threads></cpu>
  <memory>8388608</memory>
  <network><name>default</name><bridge name="virbr0"/><ip address="192.168.122.1" netmask="255.255.255.0"/></network>
</node>
"""


class Watched:
    """A host that records what it reports."""

    def __init__(self, uri: str) -> None:
        self.hints: list[Hint] = []
        self.statuses: list[HostStatus] = []
        self.host = LibvirtHost(
            "h1", uri, on_hint=self.hints.append, on_status=lambda h: self.statuses.append(h.status)
        )


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    it = Watched(f"test://{node}")  # a file, because then its domains belong to this connection only
    await it.host.open()
    yield it
    await it.host.close()


@pytest.fixture
async def host(watched: Watched) -> LibvirtHost:
    return watched.host


def domain_spec(**changes: object) -> DomainSpec:
    values: dict[str, object] = {
        "uuid": str(uuid4()),
        "name": "web-1",
        "vcpus": 2,
        "memory_bytes": GIB,
        "virtualization": "test",
        "nics": (NICSpec(network="default"),),
        "tag": OwnershipTag(instance="i1", tenant="t1", operation="o1", generation=3),
    } | changes
    return DomainSpec(**values)  # type: ignore[arg-type]


async def test_host_is_up_and_simulated(watched: Watched) -> None:
    host = watched.host
    assert host.status is HostStatus.UP
    assert host.simulated
    assert host.seen_at is not None
    assert watched.statuses == [HostStatus.CONNECTING, HostStatus.UP]
    facts = await host.read_host()
    assert (facts.simulated, facts.virtualization) == (True, "test")
    assert facts.networks == ("default",)
    assert facts.cpus > 0
    assert facts.memory_bytes > GIB


async def test_whole_life_of_a_domain(watched: Watched) -> None:
    host, spec = watched.host, domain_spec(description="two\nlines <disk/> ]]> [/red]")
    await host.define(spec)
    await host.define(spec)
    facts = await host.read_domain(spec.uuid)
    assert facts is not None
    assert (facts.name, facts.vcpus, facts.memory_bytes) == ("web-1", 2, GIB)
    assert facts.description == spec.description
    assert facts.tag == spec.tag
    assert facts.state is State.STOPPED
    assert facts.persistent
    digest = facts.xml_digest
    for action, state in (
        (host.start, State.RUNNING),
        (host.pause, State.PAUSED),
        (host.resume, State.RUNNING),
        (host.reset, State.RUNNING),
        (host.restart, State.RUNNING),
        (host.shutdown, State.STOPPED),
        (host.start, State.RUNNING),
        (host.power_off, State.STOPPED),
    ):
        await action(spec.uuid)
        facts = await host.read_domain(spec.uuid)
        assert facts is not None
        assert facts.state is state, action
    assert facts is not None
    assert facts.reason == "powered off"
    assert facts.xml_digest == digest
    assert spec.uuid in {f.uuid for f in await host.read_domains()}
    await host.undefine(spec.uuid)
    await host.undefine(spec.uuid)
    assert await host.read_domain(spec.uuid) is None
    assert Hint(host_id="h1", kind="domain", uuid=spec.uuid) in watched.hints


async def test_running_domain_is_not_undefined(host: LibvirtHost) -> None:
    spec = domain_spec()
    await host.define(spec)
    await host.start(spec.uuid)
    with pytest.raises(Conflict, match="power it off first"):
        await host.undefine(spec.uuid)


async def test_impossible_action_is_refused_with_the_reason(host: LibvirtHost) -> None:
    spec = domain_spec()
    await host.define(spec)
    with pytest.raises(Conflict, match="cannot power the VM off: the VM is not running"):
        await host.power_off(spec.uuid)
    with pytest.raises(NotFound, match="VM not found"):
        await host.start(str(uuid4()))
    with pytest.raises(Conflict, match="already exists on this host"):
        await host.define(domain_spec(name="web-1"))
    with pytest.raises(NotFound):
        await host.storage.create_volume(VolumeSpec(pool="none", name="a", size_bytes=GIB))


async def test_tag_is_rewritten_and_changes_the_digest(host: LibvirtHost) -> None:
    spec = domain_spec()
    await host.define(spec)
    before = await host.read_domain(spec.uuid)
    await host.set_tag(spec.uuid, OwnershipTag(instance="i2", tenant="<t>", operation="o", generation=4))
    after = await host.read_domain(spec.uuid)
    assert before is not None
    assert after is not None
    assert after.tag == OwnershipTag(instance="i2", tenant="<t>", operation="o", generation=4)
    assert after.xml_digest != before.xml_digest


async def test_pools_and_volumes_are_created_and_deleted(host: LibvirtHost, tmp_path: Path) -> None:
    pool = PoolSpec(uuid=str(uuid4()), name="novacron-1-hot", path="/nowhere/hot")
    facts = await host.storage.ensure_pool(pool)
    assert (facts.uuid, facts.path, facts.active) == (pool.uuid, pool.path, True)
    assert await host.storage.ensure_pool(pool) == facts
    with pytest.raises(Conflict):
        await host.storage.ensure_pool(PoolSpec(uuid=str(uuid4()), name=pool.name, path=pool.path))
    spec = VolumeSpec(pool=pool.name, name="web-1.qcow2", size_bytes=GIB)
    volume = await host.storage.create_volume(spec)
    assert (volume.size_bytes, volume.format, volume.pool_uuid) == (GIB, "qcow2", pool.uuid)
    assert await host.storage.create_volume(spec) == volume
    with pytest.raises(Conflict):
        await host.storage.create_volume(VolumeSpec(pool=pool.name, name=spec.name, size_bytes=2 * GIB))
    assert volume in await host.storage.read_volumes()
    await host.storage.resize_volume(pool.name, spec.name, GIB, spec.format)
    with pytest.raises(Conflict, match="contains 1 volume"):
        await host.storage.delete_pool(pool.name)
    image = tmp_path / "image"
    image.write_bytes(b"x" * 100)
    reported: list[tuple[int, int]] = []
    await host.storage.upload_volume(
        pool.name, spec.name, image, lambda sent, total: reported.append((sent, total)), tenant=None
    )
    assert reported == [(100, 100)]
    domain = domain_spec(disks=(DiskSpec(pool=pool.name, volume=spec.name),))
    await host.define(domain)
    seen = await host.read_domain(domain.uuid)
    assert seen is not None
    assert (seen.disks[0].pool, seen.disks[0].volume, seen.disks[0].path) == (pool.name, spec.name, volume.path)
    await host.undefine(domain.uuid)
    for _ in range(2):
        await host.storage.delete_volume(pool.name, spec.name)
    for _ in range(2):
        await host.storage.delete_pool(pool.name)
    assert pool.name not in {p.name for p in await host.storage.read_pools()}


async def test_closed_host_refuses_calls() -> None:
    host = LibvirtHost("h", "test:///default", on_hint=lambda _: None, on_status=lambda _: None)
    with pytest.raises(HostUnavailable, match="not connected yet"):
        await host.read_host()
    await host.open()
    await host.close()
    with pytest.raises(HostUnavailable, match="closed"):
        await host.read_domains()
    with pytest.raises(HostUnavailable, match="closed"):
        await host.open()


async def test_concurrent_opens_open_once(watched: Watched) -> None:
    both = Watched(watched.host.uri)
    await asyncio.gather(both.host.open(), both.host.open())
    assert both.statuses == [HostStatus.CONNECTING, HostStatus.UP]
    await both.host.close()


async def test_cancelled_call_leaves_the_host_usable(host: LibvirtHost) -> None:
    call = asyncio.create_task(host.read_domains())
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await host.read_domains() == []


def test_inactive_default_network_is_started(tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    connection = libvirt.open(f"test://{node}")
    network = connection.networkLookupByName("default")
    network.destroy()
    assert start_default_network(connection) == ""
    assert network.isActive()
    assert start_default_network(connection) == "", "an active network is left alone"
    connection.close()


def test_network_that_cannot_start_becomes_a_note() -> None:
    class Broken:
        def name(self) -> str:
            return "default"

        def create(self) -> None:
            error = libvirt.libvirtError("")
            error.args = ("Failed to find path for dnsmasq binary",)
            raise error

        def listAllNetworks(self, _flags: int) -> list[Broken]:
            return [self]

    assert start_default_network(Broken()).startswith("cannot start the network default: Failed to find")


def test_disallowed_uri_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="invalid hypervisor address"):
        LibvirtHost("h", "qemu+ssh://a/system?command=x", on_hint=lambda _: None, on_status=lambda _: None)
