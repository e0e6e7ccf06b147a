"""The database rows on libvirt's objects, as the inventory holds them in memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from novacron_server.hypervisor.facts import DomainFacts


class VMRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `vms`. `spec` is the creation request, shown until the domain exists."""

    id: str
    host_id: str
    name: str
    tenant: str
    owner: str
    tags: dict[str, str] = {}
    tier: str | None = None
    protected: bool = False
    description: str = ""
    generation: int = 1
    spec: dict[str, Any] = {}
    created_at: datetime
    updated_at: datetime


class CrashRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `crashes`: the last crash of a VM, managed or not. libvirt forgets it when libvirtd restarts.

    `at` is None for a crash that happened while no server was running; `found_at` is when a server saw it first.
    `acknowledged_by` is the name of the operator who acknowledged it. `facts` are the last ones of a transient VM, which
    libvirt has forgotten with its crash: the row is all that is left of it.
    """

    host_id: str
    vm_id: str
    at: datetime | None = None
    found_at: datetime
    reason: str = ""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    facts: DomainFacts | None = None


class VolumeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `volumes`. `vm_id` is the VM it was created for, None once that is deleted.

    `format` is the format it was created with; None if an earlier version created it. `size_bytes` is the size that a
    guest sees, and the size to which it is being grown; quotas count it. `moved_at` is when it was moved last, out of the
    tier `came_from`. `pinned` and until `dismissed_until` no advice is given about it. One that is
    `together` moves only with the other disks of its VM that are.
    """

    id: str
    host_id: str
    pool: str
    name: str
    tenant: str
    owner: str
    tier: str | None = None
    vm_id: str | None = None
    format: str | None = None
    created_at: datetime
    size_bytes: int = 0
    moved_at: datetime | None = None
    came_from: str | None = None
    pinned: bool = False
    together: bool = False
    dismissed_until: datetime | None = None
    dismissed_reason: str = ""


class PoolRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `pools`: a pool assigned to a tier. Managed pools have no row: their UUID determines the tier."""

    host_id: str
    uuid: str
    name: str
    tier: str
    created_at: datetime


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `hosts`."""

    id: str
    uri: str
    name: str
