"""Storage tiers: hot, warm and cold, as the pools that keep them."""

from __future__ import annotations

from datetime import datetime

from novacron_core.api.base import ListQuery, Page, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class Tier(Value, frozen=True):
    """A tier over all hosts.

    A disk counts once, however many of the tier's pools lie on it. `used_bytes` is what is used on those disks, by
    whomever; `provisioned_bytes` what the tier's volumes would take if they were full, `allocated_bytes` what they
    take now. `shares_disk_with` names tiers on the same disks: their free space is the same space. `disks_known` is
    False where that cannot be known for some pool (a host on another machine). A number is None where there is none;
    rates are of the VMs' disks, as of `rates_at`.
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
    rates_at: datetime | None = None
    seen_at: datetime | None = None
    """The oldest look at one of its pools."""
    notes: list[str] = []
    """Sentences for the operator on what is not as it should be."""


LIST = endpoint("GET /api/storage/tiers", Page[Tier], P.VOLUME_READ, query=ListQuery, summary="List tiers")
