"""What the database knows of things that libvirt owns: the rows, as the inventory holds them in memory."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class VMRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `vms`. `spec` is what was asked for at creation, shown until the domain exists."""

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


class VolumeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `volumes`. `vm_id` is the VM it was made for, None once that is gone.

    `format` is what it was made as; None for one that an earlier version made.
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


class PoolRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `pools`: a pool that somebody gave to a tier. Ours have no row, their identity says their tier."""

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
