"""Tenants: groups of people with their own VMs and volumes, and quotas."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from novacron_core.api.base import ListQuery, Nothing, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.names import ONE_LINE, TENANT_PATTERN
from novacron_core.values.roles import Permission as P

_LARGEST = 2**60
Name = Annotated[str, Meta(pattern=ONE_LINE, min_length=1, max_length=100)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=0, le=_LARGEST)]
TierName = Annotated[str, Meta(pattern=r"^(hot|warm|cold)$(?!\n)")]
DiskQuotas = dict[TierName, Bytes]


class Tenant(Value, frozen=True):
    """`max_…` are its quotas, None for no limit; `max_disk_bytes` is by tier, without those that have no limit.

    With `totp_required` nobody works in it without a second factor.
    """

    id: str
    name: str
    created_at: Time
    members: int = 0
    max_vms: int | None = None
    max_vcpus: int | None = None
    max_memory_bytes: int | None = None
    max_disk_bytes: dict[str, int] = {}
    totp_required: bool = False


class TenantCreate(Request, frozen=True):
    """`id` never changes; `name` is for people, None for the id."""

    id: Annotated[str, Meta(pattern=TENANT_PATTERN, max_length=63)]
    name: Name | None = None
    max_vms: Count | None = None
    max_vcpus: Count | None = None
    max_memory_bytes: Bytes | None = None
    max_disk_bytes: DiskQuotas = {}
    totp_required: bool = False


class TenantChange(Request, frozen=True):
    """Only what is given changes; null removes a quota. `max_disk_bytes` replaces the quotas of all tiers."""

    name: Name | UnsetType = UNSET
    max_vms: Count | UnsetType | None = UNSET
    max_vcpus: Count | UnsetType | None = UNSET
    max_memory_bytes: Bytes | UnsetType | None = UNSET
    max_disk_bytes: DiskQuotas | UnsetType = UNSET
    totp_required: bool | UnsetType = UNSET


LIST = endpoint("GET /api/admin/tenants", Page[Tenant], P.ACCESS_ADMIN, query=ListQuery, summary="List tenants")
GET = endpoint("GET /api/admin/tenants/{tenant}", Tenant, P.PEOPLE_READ, summary="Get a tenant")
CREATE = endpoint(
    "POST /api/admin/tenants", Tenant, P.ACCESS_ADMIN, takes=TenantCreate, status=201, summary="Create a tenant"
)
CHANGE = endpoint(
    "PATCH /api/admin/tenants/{tenant}", Tenant, P.ACCESS_ADMIN, takes=TenantChange, summary="Change a tenant"
)
DELETE = endpoint(
    "DELETE /api/admin/tenants/{tenant}", Nothing, P.ACCESS_ADMIN, status=204, summary="Delete an empty tenant"
)
