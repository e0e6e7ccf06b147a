"""Storage pools: where a host stores its volumes."""

from __future__ import annotations

from novacron_core.api.base import ListQuery, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.api.operations import Operation
from novacron_core.values.roles import Permission as P
from novacron_core.values.tiers import TierName


class Pool(Value, frozen=True):
    """A libvirt storage pool. `allocated_bytes` is all space used on its disk, also by other programs; the three sizes
    are None while the pool is inactive.

    `shares_disk_with` names the host's other pools on the same disk, None where this is unknown (a host on another
    machine). `managed`: created by NovaCron. `seen_at` is when its host last reported it.
    """

    id: str
    name: str
    host: str
    type: str
    """The libvirt pool type: `dir`, `fs`, `netfs`, `logical` …"""
    path: str
    active: bool
    tier: str | None = None
    managed: bool = False
    capacity_bytes: int | None = None
    allocated_bytes: int | None = None
    available_bytes: int | None = None
    shares_disk_with: list[str] | None = None
    volumes: int = 0
    problem: str = ""
    """Why its volumes cannot be listed, or why it is inactive; empty if unknown or fine."""
    seen_at: Time | None = None


class PoolTier(Request, frozen=True):
    """`null` removes the pool from its tier; its volumes are not moved."""

    tier: TierName | None


LIST = endpoint("GET /api/storage/pools", Page[Pool], P.VOLUME_READ, query=ListQuery, summary="List pools")
SET_TIER = endpoint(
    "PUT /api/storage/pools/{pool_id}",
    Operation,
    P.HOST_CHANGE,
    takes=PoolTier,
    status=202,
    summary="Add a pool to a tier, or remove it",
)
