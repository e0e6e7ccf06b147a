"""Quotas: what a tenant uses, and how much it may use."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Request, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class Amount(Value, frozen=True):
    """What is used, with what accepted operations will use; `limit` is None without a quota."""

    used: int
    limit: int | None = None


class Quota(Value, frozen=True):
    """`disk_bytes` is by tier: the sizes that guests see, not what thin volumes have allocated so far."""

    tenant: str
    vms: Amount
    vcpus: Amount
    memory_bytes: Amount
    disk_bytes: dict[str, Amount] = {}


class QuotaQuery(Request, frozen=True):
    """`tenant` defaults to the caller's; only administrators may name another one."""

    tenant: Annotated[str, Meta(max_length=64)] = ""


GET = endpoint("GET /api/quota", Quota, P.VM_READ, query=QuotaQuery, summary="Show a tenant's use and quotas")
