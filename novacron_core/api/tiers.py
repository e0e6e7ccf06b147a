"""Storage tiers: hot, warm and cold, each made of pools."""

from __future__ import annotations

from novacron_core.api.base import ListQuery, Page, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class Tier(Value, frozen=True):
    """A tier over all hosts.

    A disk counts once, even with several of the tier's pools on it. `used_bytes` is all space used on those disks, also
    by other programs; `provisioned_bytes` is the virtual size of the tier's volumes, `allocated_bytes` the space they
    use now. `shares_disk_with` names tiers on the same disks, whose free space is the same. `disks_known` is False when
    the disk of some pool is unknown (a host on another machine). Unknown values are None. Rates are of the VMs' disks,
    as of `rates_at`.
    """

    name: str
    pools: list[str] = []
    """Ids of its pools."""
    capacity_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    provisioned_bytes: int = 0
    allocated_bytes: int = 0
    volumes: int = 0
    shares_disk_with: list[str] = []
    disks_known: bool = True
    read_bytes_s: float | None = None
    write_bytes_s: float | None = None
    reads_s: float | None = None
    writes_s: float | None = None
    rates_at: Time | None = None
    seen_at: Time | None = None
    """When the least recently read of its pools was read."""
    notes: list[str] = []
    """Sentences for the operator about problems of this tier."""


LIST = endpoint("GET /api/storage/tiers", Page[Tier], P.VOLUME_READ, query=ListQuery, summary="List tiers")
