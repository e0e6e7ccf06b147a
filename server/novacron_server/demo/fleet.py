"""The VMs of the simulated fleet: the same ones at every start. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import msgspec

from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TierName

HOSTS = ("kvm-a", "kvm-b", "kvm-c")
_NAMESPACE = UUID("0d6f3c1e-5a7b-4c7e-9a51-6e6f7661cafe")
_FULL: dict[TierName, float] = {"hot": 0.78, "warm": 0.57, "cold": 0.34}
"""How full the pools of each tier are."""
POOL_BYTES = 100 * GIB
"""The capacity of every pool of libvirt's test driver."""


@dataclass(frozen=True, slots=True)
class _Service:
    """A kind of VM: how many of 100, its size (GiB), tier, owner and tags."""

    share: int
    vcpus: tuple[int, ...]
    memory: tuple[int, ...]
    disk: tuple[int, ...]
    tier: TierName
    owner: str
    description: str


_SERVICES = {
    "web": _Service(18, (2, 4), (2, 4), (20,), "warm", "dana", "Public web front end"),
    "api": _Service(15, (2, 4, 8), (4, 8), (20, 40), "warm", "dana", "API server"),
    "db": _Service(9, (4, 8, 16), (16, 32), (80, 120, 200), "hot", "erik", "PostgreSQL"),
    "cache": _Service(7, (2, 4), (8, 16), (20,), "hot", "erik", "Redis"),
    "queue": _Service(5, (2, 4), (4, 8), (40,), "hot", "erik", "Message broker"),
    "worker": _Service(14, (4, 8), (4, 8), (20, 40), "warm", "farah", "Batch worker"),
    "build": _Service(8, (8, 16), (16,), (80, 120), "warm", "farah", "CI runner"),
    "search": _Service(4, (4, 8), (16,), (120,), "hot", "dana", "Search index"),
    "mail": _Service(4, (2,), (4,), (80,), "warm", "goran", "Mail relay"),
    "dns": _Service(4, (1,), (1,), (10,), "warm", "goran", "Resolver"),
    "vpn": _Service(3, (1, 2), (1, 2), (10,), "warm", "goran", "VPN gateway"),
    "backup": _Service(5, (2,), (4,), (200, 400), "cold", "goran", "Backup target"),
    "log": _Service(4, (4,), (8,), (200,), "cold", "goran", "Log storage"),
}


class SimulatedVM(msgspec.Struct, frozen=True, kw_only=True):
    """One VM of the fleet. `allocated_bytes` is what its disk takes of its pool."""

    id: str
    host: str
    name: str
    state: str
    vcpus: int
    memory_bytes: int
    disk_bytes: int
    allocated_bytes: int
    tier: TierName
    owner: str
    tags: dict[str, str]
    description: str
    created_at: datetime

    @property
    def disk(self) -> str:
        """The name of its volume."""
        return f"{self.name}-{self.id[:8]}.qcow2"


def fleet(count: int, now: datetime) -> list[SimulatedVM]:
    """`count` VMs. Only their age depends on `now`."""
    chance = random.Random(count)  # noqa: S311 - no secret
    kinds, shares = list(_SERVICES), [service.share for service in _SERVICES.values()]
    numbers = dict.fromkeys(kinds, 0)
    found = []
    for _ in range(count):
        kind = chance.choices(kinds, shares)[0]
        numbers[kind] += 1
        found.append(_vm(chance, kind, numbers[kind], now))
    return _fill_pools(found)


def _vm(chance: random.Random, kind: str, number: int, now: datetime) -> SimulatedVM:
    service = _SERVICES[kind]
    stage = chance.choices(("prod", "staging", "dev"), (6, 2, 2))[0]
    tags = {"role": kind, "env": stage}
    if chance.random() < 0.3:
        tags["team"] = {"dana": "shop", "erik": "data", "farah": "platform"}.get(service.owner, "infra")
    name = f"{kind}-{number:02d}" if stage == "prod" else f"{stage}-{kind}-{number:02d}"
    weights = (92, 2, 6) if stage == "prod" else (68, 8, 24)
    return SimulatedVM(
        id=str(uuid5(_NAMESPACE, name)),
        host=chance.choices(HOSTS, (4, 3, 3))[0],
        name=name,
        state=chance.choices(("running", "paused", "stopped"), weights)[0],
        vcpus=chance.choice(service.vcpus),
        memory_bytes=chance.choice(service.memory) * GIB,
        disk_bytes=(disk := chance.choice(service.disk) * GIB),
        allocated_bytes=int(disk * chance.uniform(0.1, 0.9)),
        tier=service.tier if stage == "prod" or service.tier == "cold" else "warm",
        owner=service.owner,
        tags=tags,
        description=f"{service.description}, {stage}",
        created_at=now - timedelta(days=chance.uniform(1, 700)),
    )


def _fill_pools(vms: list[SimulatedVM]) -> list[SimulatedVM]:
    """The VMs with what their disks allocate scaled to their pools, which are small."""
    sums: dict[tuple[str, str], int] = {}
    for vm in vms:
        sums[vm.host, vm.tier] = sums.get((vm.host, vm.tier), 0) + vm.allocated_bytes
    return [
        msgspec.structs.replace(
            vm,
            allocated_bytes=int(vm.allocated_bytes * min(1.0, POOL_BYTES * _FULL[vm.tier] / sums[vm.host, vm.tier])),
        )
        for vm in vms
    ]
