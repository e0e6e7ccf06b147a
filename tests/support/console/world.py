"""A small fixed world for the console's tests: contract structs, and a clock that stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from novacron_core import PROTOCOL, __version__
from novacron_core.api import access
from novacron_core.api.events import Event, Hello, InventoryFrame, SamplesFrame
from novacron_core.api.hosts import Host, HostStatus
from novacron_core.api.operations import BulkCounts, Operation, OperationState, Target
from novacron_core.api.samples import HostSample, VMSample
from novacron_core.api.vms import NIC, VM, Disk, State
from novacron_core.client import Connected
from novacron_core.values.roles import Role
from novacron_core.values.sizes import GIB, MIB

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
PASSWORD = "correct horse battery staple"
HOST_ID = "6f1d3b5e-0000-4000-8000-000000000001"
OTHER_HOST_ID = "6f1d3b5e-0000-4000-8000-000000000002"
ADMIN = access.User(id="u1", username="ada", email="", role=Role.ADMINISTRATOR, tenant="default")
VIEWER = access.User(id="u2", username="vic", email="", role=Role.VIEWER, tenant="default")


def host(**changes: Any) -> Host:
    base = Host(
        id=HOST_ID,
        name="kvm-a",
        uri="qemu:///system",
        status=HostStatus.UP,
        virtualization="qemu",
        networks=["default"],
        cpus=8,
        memory_bytes=32 * GIB,
        memory_free_bytes=20 * GIB,
    )
    return msgspec.structs.replace(base, **changes)


def vm_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def vm(name: str, number: int, state: State = State.RUNNING, **changes: Any) -> VM:
    base = VM(
        id=vm_id(number),
        name=name,
        host=HOST_ID,
        state=state,
        vcpus=2,
        memory_bytes=GIB,
        state_since=NOW - timedelta(minutes=7 * number + 1),
        seen_at=NOW - timedelta(seconds=2),
        tenant="default",
        owner="ada",
        disks=[
            Disk(
                target="vda",
                bus="virtio",
                format="qcow2",
                volume="v1",
                source=f"pool/{name}.qcow2",
                size_bytes=8 * GIB,
                tier="cold" if number % 4 == 0 else "hot",
            )
        ],
        tier="cold" if number % 4 == 0 else "hot",
        nics=[NIC(mac=f"52:54:00:00:00:{number:02x}", network="default", model="virtio", addresses=[])],
        virtualization="qemu",
        created_at=NOW - timedelta(days=number),
        generation=3,
    )
    return msgspec.structs.replace(base, **changes)


def operation(kind: str, target: VM, **changes: Any) -> Operation:
    base = Operation(
        id=f"op-{kind}-{target.name}",
        kind=kind,
        target=Target(type="vm", id=target.id, name=target.name),
        state=OperationState.RUNNING,
        created_at=NOW - timedelta(seconds=12),
        started_at=NOW - timedelta(seconds=12),
        actor="ada",
    )
    return msgspec.structs.replace(base, **changes)


def bulk(child_kind: str, count: int, **changes: Any) -> Operation:
    """A bulk on so many VMs, all of them queued."""
    base = Operation(
        id="bulk-1",
        kind="vm.bulk",
        target=Target(type="vms", id=f"t-{child_kind}", name=f"{count} VM{'s' * (count != 1)}"),
        state=OperationState.RUNNING,
        created_at=NOW - timedelta(seconds=12),
        started_at=NOW - timedelta(seconds=12),
        actor="ada",
        may_cancel=True,
        counts=BulkCounts(queued=count),
        child_kind=child_kind,
    )
    return msgspec.structs.replace(base, **changes)


def fleet() -> list[VM]:
    """Nine VMs in the states one meets."""
    return [
        vm(
            "web-01",
            1,
            nics=[NIC(mac="52:54:00:00:00:01", network="default", addresses=["192.168.122.21"])],
            tags={"tier": "web"},
        ),
        vm(
            "web-02",
            2,
            nics=[NIC(mac="52:54:00:00:00:02", network="default", addresses=["192.168.122.22"])],
            tags={"tier": "web"},
        ),
        vm("db-01", 3, vcpus=8, memory_bytes=16 * GIB, protected=True, tags={"tier": "db", "backup": ""}),
        vm("cache", 4, State.PAUSED, memory_bytes=512 * MIB),
        vm("build-runner-ubuntu-24-04", 5, State.STOPPED, vcpus=16, memory_bytes=64 * GIB),
        vm("mail", 6, State.CRASHED, reason="I/O error"),
        vm("legacy-erp", 7, State.RUNNING, unmanaged=True, tenant=None, owner=None, created_at=None),
        vm("staging", 8, State.STOPPED),
        vm("win-test", 9, State.SAVED, memory_bytes=4 * GIB),
    ]


def inventory(
    vms: list[VM], hosts: list[Host] | None = None, operations: list[Operation] | None = None, seq: int = 10
) -> InventoryFrame:
    return InventoryFrame(
        seq=seq,
        part=0,
        last=True,
        things={"vms": vms, "hosts": [host()] if hosts is None else hosts, "operations": operations or []},
    )


def event(seq: int, value: VM | Host | Operation, kind: str, /, **changes: Any) -> Event:
    noun = {VM: "vm", Host: "host", Operation: "operation"}[type(value)]
    base = Event(
        seq=seq,
        id=f"e{seq}",
        type=kind,
        source=value.host if isinstance(value, VM) else "server",
        target=Target(type=noun, id=value.id, name=getattr(value, "name", "")),
        time=NOW,
        value=msgspec.Raw(msgspec.json.encode(value)),
    )
    return msgspec.structs.replace(base, **changes)


def gone(seq: int, value: VM) -> Event:
    return event(seq, value, "vm.deleted", value=msgspec.Raw(b"null"))


def samples(seconds: int = 0, *, only: dict[str, VMSample] | None = None, host_id: str = HOST_ID) -> SamplesFrame:
    """The numbers of the fleet `seconds` after the first ones: web-01 works, db-01 is nearly full, one tells little."""
    wave = (12.0, 35.0, 64.0, 88.0, 93.0, 71.0, 40.0, 22.0)[seconds // 5 % 8]
    numbers = only or {
        vm_id(1): sample(wave, 700 * MIB, GIB, disk=(3 * MIB, 420_000), net=(1_250_000, 88_000)),
        vm_id(2): sample(wave / 3, 410 * MIB, GIB, disk=(0, 12_000), net=(45_000, 9_000)),
        vm_id(3): sample(97.0, 15 * GIB, 16 * GIB, disk=(220 * MIB, 64 * MIB), net=(9 * MIB, 31 * MIB)),
        vm_id(4): sample(0.0, 200 * MIB, 512 * MIB, disk=(0, 0), net=(0, 0)),
        vm_id(7): VMSample(
            cpu_cores=0.1, cpu_percent=5.0, memory_given_bytes=GIB, memory_note="balloon driver reports nothing"
        ),
    }
    host = HostSample(cpu_cores=3.2, cpu_percent=40.0, memory_used_bytes=21 * GIB, memory_bytes=32 * GIB, period_s=5.0)
    return SamplesFrame(time=NOW, host=host_id, vms=numbers, hosts={host_id: host})


def percent(**cpu: float) -> dict[str, VMSample]:
    """Samples by the number of the VM: `v1=12.0` is 12 per cent of the first one."""
    return {vm_id(int(number[1:])): VMSample(cpu_percent=value, cpu_cores=value) for number, value in cpu.items()}


def sample(percent: float, used: int, given: int, *, disk: tuple[int, int], net: tuple[int, int]) -> VMSample:
    """One VM's numbers, of two vCPUs."""
    return VMSample(
        cpu_cores=percent / 50,
        cpu_percent=percent,
        memory_used_bytes=used,
        memory_given_bytes=given,
        disk_read_bytes_s=disk[0],
        disk_write_bytes_s=disk[1],
        disk_reads_s=disk[0] / 65536,
        disk_writes_s=disk[1] / 65536,
        net_received_bytes_s=net[0],
        net_sent_bytes_s=net[1],
        disk_age_s=3.0,
        memory_age_s=2.0,
    )


def live() -> Connected:
    return Connected(Hello(protocol=PROTOCOL, version=__version__, session="s", server_time=NOW, samples=True))


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def pass_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


THIRD_HOST_ID = "7a000000-0000-4000-8000-000000000003"


TWINS = [
    host(name="kvm"),
    host(id=OTHER_HOST_ID, name="kvm", uri="qemu+ssh://root@10.0.0.7/system"),
    host(id=THIRD_HOST_ID, name="kvm-c"),
]
