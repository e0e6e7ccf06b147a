"""The SQL of quotas: what a tenant uses, and the check of what an operation adds, under a lock of the tenant's row.

What is used is counted from rows, which are written when an operation is accepted: requests at the same time cannot
both take the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Row, bindparam, func, select
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core import errors
from novacron_core.api.quotas import Amount, Quota
from novacron_core.api.vms import VMCreate
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import TIERS
from novacron_server.database.tables import operations as o
from novacron_server.database.tables import tenants as t
from novacron_server.database.tables import vms as v
from novacron_server.database.tables import volumes as d

_LIMITS = select(t).where(t.c.id == bindparam("tenant"))
_OPEN = ("pending", "running")
_DEFAULTS = VMCreate(name="vm", image="image")


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation adds to a tenant's use. `disk_bytes` is by tier."""

    vms: int = 0
    vcpus: int = 0
    memory_bytes: int = 0
    disk_bytes: Mapping[str, int] = {}


async def check(connection: AsyncConnection, tenant: str, demand: Demand, *, operation_id: str) -> None:
    """Raises QuotaExceeded when the tenant may not use that much more. `operation_id` is the one that asks.

    Call it in the transaction that accepts the operation, before the rows of what it creates are written.
    """
    limits = (await connection.execute(_LIMITS, {"tenant": tenant})).first()
    if limits is None or not _limited(limits):
        return
    # Not the row's full lock: rows that name the tenant, written by others, need not wait for this transaction.
    locked = select(t).where(t.c.id == tenant).with_for_update(key_share=True)
    limits = (await connection.execute(locked)).one()
    used = await _use(connection, limits, besides=operation_id)
    _check("VMs", tenant, used.vms, demand.vms)
    _check("vCPUs", tenant, used.vcpus, demand.vcpus)
    _check("memory", tenant, used.memory_bytes, demand.memory_bytes, size_text)
    for tier, size in demand.disk_bytes.items():
        _check(f"disk space in {tier}", tenant, used.disk_bytes.get(tier, Amount(used=0)), size, size_text)


def _check(what: str, tenant: str, amount: Amount, more: int, write: Callable[[int], str] = str) -> None:
    if amount.limit is None or more <= 0 or amount.used + more <= amount.limit:
        return
    raise errors.QuotaExceeded(
        f"the tenant {tenant} uses {write(amount.used)} of its quota of {write(amount.limit)} {what}, and this needs "
        f"{write(more)} more: free some, or ask an administrator for a larger quota"
    )


async def quota(connection: AsyncConnection, tenant: str) -> Quota | None:
    """What a tenant uses and may use; None if there is no such tenant."""
    limits = (await connection.execute(_LIMITS, {"tenant": tenant})).first()
    return await _use(connection, limits) if limits else None


def _limited(limits: Row[tuple[object, ...]]) -> bool:
    return any(getattr(limits, name) is not None for name in ("max_vms", "max_vcpus", "max_memory_bytes")) or bool(
        limits.max_disk_bytes
    )


async def _use(connection: AsyncConnection, limits: Row[tuple[object, ...]], *, besides: str | None = None) -> Quota:
    """`besides` is an operation that is not counted."""
    tenant = limits.id

    def number(name: str) -> ColumnElement[int]:
        """The VM's last facts, else what was requested; a request leaves out what it has by default."""
        facts, spec = (row[name].astext.cast(BigInteger) for row in (v.c.last_facts, v.c.spec))
        return func.coalesce(facts, spec, getattr(_DEFAULTS, name))

    sums = select(func.count(), func.sum(number("vcpus")), func.sum(number("memory_bytes"))).where(v.c.tenant == tenant)
    vms, vcpus, memory_bytes = (await connection.execute(sums)).one()
    disks = await _disk_bytes(connection, tenant, besides)
    allowed = {tier: size for tier, size in limits.max_disk_bytes.items() if isinstance(size, int)}
    return Quota(
        tenant=tenant,
        vms=Amount(used=vms, limit=limits.max_vms),
        vcpus=Amount(used=int(vcpus or 0), limit=limits.max_vcpus),
        memory_bytes=Amount(used=int(memory_bytes or 0), limit=limits.max_memory_bytes),
        disk_bytes={
            tier: Amount(used=disks.get(tier, 0), limit=allowed.get(tier))
            for tier in (*TIERS, *sorted(disks.keys() - set(TIERS)))
        },
    )


async def _disk_bytes(connection: AsyncConnection, tenant: str, besides: str | None) -> dict[str, int]:
    """The sizes of the tenant's volumes by tier, and those of volumes that are being moved to a tier."""
    used: dict[str, int] = {}
    held = select(d.c.tier, func.sum(d.c.size_bytes)).where(d.c.tenant == tenant, d.c.tier.is_not(None))
    target = o.c.request["tier"].astext
    moving = (
        select(target, func.sum(d.c.size_bytes))
        .join(d, d.c.id == o.c.request["volume"].astext.cast(UUID(as_uuid=False)))
        .where(o.c.kind == str(OperationKind.VOLUME_MOVE), o.c.state.in_(_OPEN), d.c.tenant == tenant)
        .where(d.c.tier != target)
    )
    if besides is not None:
        moving = moving.where(o.c.id != besides)
    for query in (held.group_by(d.c.tier), moving.group_by(target)):
        for tier, size in await connection.execute(query):
            used[tier] = used.get(tier, 0) + int(size or 0)
    return used
