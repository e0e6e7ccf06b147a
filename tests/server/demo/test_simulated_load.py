"""The generator of load: the same for the same VM, never negative, never above the VM, and never on another host."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

import libvirt
import pytest

from novacron_core.api.vms import State
from novacron_core.errors import InvalidArgument, Unsupported
from novacron_server.demo.fleet import HOSTS, POOL_BYTES, fleet
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.statistics import simulated_load
from novacron_server.hypervisor.statistics.counters import DomainCounters
from novacron_server.hypervisor.statistics.simulated_load import DAY_S, SimulatedLoad, load_of
from novacron_server.runtime.settings import Settings
from tests.support.libvirt_hosts import QUICK, WatchedHost
from tests.support.node_files import write_node

GIB = 1024**3
BEGAN = 1_800_000_000.0
UUIDS = [str(uuid5(UUID(int=7), str(number))) for number in range(200)]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def counters(uuid: str, ran_s: float) -> DomainCounters:
    return simulated_load.quick(DomainCounters(uuid, 1, ran_s), BEGAN, ran_s, 4 * GIB, 2, ("52:54:00:00:00:01",))


def cores(uuid: str) -> list[float]:
    """The cores that a VM of two vCPUs uses, every 5 s of two days."""
    found = [counters(uuid, 5.0 * step).cpu_ns or 0 for step in range(int(2 * DAY_S / 5))]
    return [(after - before) / 5e9 for before, after in itertools.pairwise(found)]


def test_counters_begin_at_zero_and_only_rise_within_what_the_vm_has() -> None:
    for uuid in UUIDS:
        assert counters(uuid, 0.0).cpu_ns == 0
        used = cores(uuid)
        assert min(used) >= 0
        assert max(used) <= 2.001
        for ran_s in (0.0, 10.0, DAY_S):
            now, later = counters(uuid, ran_s), counters(uuid, ran_s + 5)
            assert 0 < (now.memory_available_bytes or 0) < (now.memory_seen_bytes or 0) <= 4 * GIB
            assert now.memory_updated != later.memory_updated
            disks = simulated_load.disks(uuid, BEGAN, ran_s, ("vda", "vdb"))
            disks_later = simulated_load.disks(uuid, BEGAN, ran_s + 5, ("vda", "vdb"))
            for before, after in zip(disks, disks_later, strict=True):
                assert (before.read_bytes, before.reads) <= (after.read_bytes, after.reads)
                assert (before.written_bytes, before.writes) <= (after.written_bytes, after.writes)


def test_load_breathes_and_differs_between_vms() -> None:
    spans = [max(used) - min(used) for used in map(cores, UUIDS[:40])]
    assert min(spans) > 0.001, "every VM's load changes"
    busiest = sorted(max(cores(uuid)) for uuid in UUIDS[:40])
    assert busiest[-1] > 10 * busiest[0]
    smooth = [abs(b - a) for used in map(cores, UUIDS[:10]) for a, b in itertools.pairwise(used)]
    assert max(smooth) < 1.0, "without jumps"


def test_same_vm_has_the_same_load_in_every_process() -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from novacron_server.hypervisor.statistics.simulated_load import load_of; import sys;"
            "print(load_of(sys.argv[1]))",
            UUIDS[3],
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(load_of(UUIDS[3]))


def test_counters_stand_still_while_paused_and_begin_anew_after_a_start(tmp_path: Path) -> None:
    clock = Clock()
    load = SimulatedLoad(wall_clock=lambda: BEGAN, clock=clock)
    connection = libvirt.open(write_node(tmp_path / "node.xml", 1))
    (domain,) = connection.listAllDomains()
    devices = {domain.UUIDString(): (("vda",), ("52:54:00:00:00:01",))}

    def spent() -> int:
        (found,) = load.read(connection, "quick", devices).domains
        assert found.cpu_ns is not None
        return found.cpu_ns

    try:
        assert spent() == 0
        clock.now += 10
        ten = spent()
        assert ten > 0
        domain.suspend()
        assert spent() == ten
        clock.now += 1000
        assert spent() == ten
        (disks,) = load.read(connection, "disks", devices).domains
        assert disks.disks
        domain.resume()
        clock.now += 10
        assert ten < spent() < 3 * ten + 10**10
        domain.destroy()
        assert load.read(connection, "quick", devices).domains == []
        domain.create()
        assert spent() == 0
    finally:
        connection.close()


def test_host_spends_what_its_vms_spend(tmp_path: Path) -> None:
    clock = Clock()
    load = SimulatedLoad(wall_clock=lambda: BEGAN, clock=clock)
    connection = libvirt.open(write_node(tmp_path / "node.xml", 12))
    try:
        first = load.read(connection, "quick", {})
        clock.now += 10
        second = load.read(connection, "quick", {})
        spent = sum(vm.cpu_ns or 0 for vm in second.domains) - sum(vm.cpu_ns or 0 for vm in first.domains)
        assert first.host is not None
        assert second.host is not None
        busy = (second.host.busy_ns or 0) - (first.host.busy_ns or 0)
        idle = (second.host.idle_ns or 0) - (first.host.idle_ns or 0)
        capacity = 64 * 10 * 10**9
        assert abs(busy + idle - capacity) <= 1
        assert busy == spent + int(capacity * 0.015)
        assert 0 < (second.host.memory_used_bytes or 0) < (second.host.memory_bytes or 0)
    finally:
        connection.close()


NODE = """<node><cpu><nodes>1</nodes><sockets>1</sockets><cores>4</cores><threads>1</threads></cpu>
<memory>67108864</memory>{domains}</node>"""
DOMAIN = """<domain type='test'><name>vm-{n}</name><uuid>{uuid}</uuid><memory>1048576</memory><vcpu>16</vcpu>
<os><type>hvm</type></os></domain>"""


def test_vms_of_a_host_never_spend_more_than_its_cpus(tmp_path: Path) -> None:
    """Forty VMs with 640 vCPUs on a host with four: each gets less than it asks for, and the host has what they spend."""
    clock = Clock()
    load = SimulatedLoad(wall_clock=lambda: BEGAN, clock=clock)
    domains = "".join(DOMAIN.format(n=n, uuid=UUIDS[n]) for n in range(40))
    (tmp_path / "node.xml").write_text(NODE.format(domains=domains))
    connection = libvirt.open(f"test://{tmp_path}/node.xml")
    try:
        assert connection.getInfo()[2] == 4
        before = load.read(connection, "quick", {})
        asked = 0.0
        for step in range(60):
            clock.now += 2
            now = load.read(connection, "quick", {})
            pairs = zip(before.domains, now.domains, strict=True)
            each = [(after.cpu_ns or 0) - (earlier.cpu_ns or 0) for earlier, after in pairs]
            assert min(each) >= 0
            assert sum(each) <= 4 * 2e9 * 0.97
            asked += sum(load_of(uuid).cpu.level * 16 * 2e9 for uuid in UUIDS[:40])
            assert before.host is not None
            assert now.host is not None
            busy = (now.host.busy_ns or 0) - (before.host.busy_ns or 0)
            assert sum(each) <= busy <= 4 * 2e9, step
            before = now
        assert asked > 10 * 60 * 4 * 2e9, "they ask for far more"
        assert sum(vm.cpu_ns or 0 for vm in before.domains) > 0.9 * 60 * 4 * 2e9
    finally:
        connection.close()


@pytest.mark.parametrize("uri", ["qemu:///system", "qemu:///session", "qemu+ssh://kvm-a/system"])
def test_load_of_a_real_host_is_never_simulated(uri: str) -> None:
    with pytest.raises(InvalidArgument, match="is a real host: its load is never simulated"):
        LibvirtHost("h", uri, on_hint=lambda _: None, on_status=lambda _: None, simulate_load=True)


@pytest.mark.parametrize(
    "more",
    [
        {"hypervisors": ("qemu:///system",)},
        {"hypervisors": ("test:///default",)},
        {"database_url": "postgresql://db/novacron"},
        {"production": True},
    ],
)
def test_server_of_a_demo_takes_no_hosts_and_no_database(tmp_path: Path, more: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="--simulated-vms makes hosts and a database of its own"):
        Settings(tmp_path, simulated_vms=5, **more).check()  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [-1, 2001])
def test_number_of_vms_is_bounded(tmp_path: Path, count: int) -> None:
    with pytest.raises(InvalidArgument, match="--simulated-vms must be from 0 to 2000"):
        Settings(tmp_path, simulated_vms=count).check()


async def test_plain_test_host_has_no_simulated_numbers_and_no_crashes(tmp_path: Path) -> None:
    watched = WatchedHost(write_node(tmp_path / "node.xml", 6), QUICK)
    host = watched.host
    await host.open()
    try:
        domains = {facts.uuid: facts for facts in await host.read_domains()}
        read = [await host.read_counters("quick"), await host.read_counters("disks")]
        counted = {vm.uuid: vm for vm in read[0].domains}
        assert len(counted) == 5
        for uuid, vm in counted.items():
            # libvirt's own inventions: no time passes between two reads of a test domain's memory, and it has no balloon
            assert (vm.memory_seen_bytes, vm.memory_available_bytes, vm.memory_updated) == (None, None, None)
            assert vm.cpu_ns != simulated_load.quick(vm, vm.at, 0.0, 1, domains[uuid].vcpus, ()).cpu_ns
        assert host._load is None
        assert host.name != "node", "it keeps the name that libvirt gives it"
        with pytest.raises(Unsupported, match="only the VMs of a demo"):
            await host.crash(next(iter(counted)))
        assert all(facts.state is not State.CRASHED for facts in await host.read_domains())
    finally:
        await host.close()


async def test_vm_of_a_demo_crashes_for_true(tmp_path: Path) -> None:
    uri = write_node(tmp_path / "kvm-z.xml", 2)
    host = LibvirtHost("h", uri, on_hint=lambda _: None, on_status=lambda _: None, simulate_load=True, timing=QUICK)
    await host.open()
    try:
        assert host.name == "kvm-z"
        running = next(facts for facts in await host.read_domains() if facts.state is State.RUNNING)
        await host.crash(running.uuid)
        after = await host.read_domain(running.uuid)
        assert after is not None
        assert after.state is State.CRASHED
        assert running.uuid not in {vm.uuid for vm in (await host.read_counters("quick")).domains}
    finally:
        await host.close()


def test_fleet_is_the_same_every_time_and_fits_its_pools() -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    for count in (1, 2, 200, 2000):
        vms = fleet(count, now)
        assert vms == fleet(count, now)
        assert len(vms) == len({vm.id for vm in vms}) == len({vm.name for vm in vms}) == count
        for host in HOSTS:
            for tier in ("hot", "warm", "cold"):
                assert sum(vm.allocated_bytes for vm in vms if (vm.host, vm.tier) == (host, tier)) < POOL_BYTES
    states = [vm.state for vm in fleet(200, now)]
    assert all(states.count(state) >= 5 for state in ("running", "paused", "stopped"))
    assert states.count("running") > 140
