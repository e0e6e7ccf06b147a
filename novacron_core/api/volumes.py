"""Volumes: disks of VMs, and disks that wait for one."""

from __future__ import annotations

from datetime import datetime

from novacron_core.api.base import ListQuery, Page, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Operation
from novacron_core.rules.permissions import Permission as P


class Volume(Value, frozen=True):
    """A storage volume. `vm` is the id of the VM that uses it; `allocated_bytes` is what it takes on disk now.

    `tier` is that of the pool it lies in. `part` says what it is to its VM: `disk`, `kernel` or `initrd`. `leans_on`
    is the file that it is an overlay of, empty for none. `foreign`: NovaCron did not make it. `operation` is the one
    running on it now.
    """

    id: str
    name: str
    size_bytes: int
    allocated_bytes: int
    format: str
    pool: str
    host: str
    tier: str | None = None
    vm: str | None = None
    part: str = ""
    leans_on: str = ""
    foreign: bool = False
    simulated: bool = False
    operation: Operation | None = None
    tenant: str | None = None
    created_at: datetime | None = None
    seen_at: datetime | None = None


LIST = endpoint("GET /api/storage/volumes", Page[Volume], P.VOLUME_READ, query=ListQuery, summary="List volumes")
GET = endpoint("GET /api/storage/volumes/{volume_id}", Volume, P.VOLUME_READ, summary="One volume")
