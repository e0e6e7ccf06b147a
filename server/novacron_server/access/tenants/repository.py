"""The SQL of tenants."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.tenants import Tenant, TenantCreate
from novacron_server.database.tables import (
    api_tokens,
    memberships,
    one_time_codes,
    operations,
    sessions,
    tenants,
    users,
    vms,
    volumes,
)

_members = (
    select(func.count()).select_from(memberships).where(memberships.c.tenant == tenants.c.id).correlate(tenants)
).scalar_subquery()
_TENANTS = select(tenants, _members.label("members"))
_OPEN = operations.c.state.in_(("pending", "running"))


async def all_tenants(conn: AsyncConnection) -> list[Tenant]:
    return [_tenant(row) for row in await conn.execute(_TENANTS)]


async def tenant(conn: AsyncConnection, tenant_id: str, *, locked: bool = False) -> Tenant | None:
    """`locked`: nothing can be created in it before this transaction ends."""
    query = _TENANTS.where(tenants.c.id == tenant_id)
    row = (await conn.execute(query.with_for_update(of=tenants) if locked else query)).first()
    return _tenant(row) if row else None


async def add(conn: AsyncConnection, body: TenantCreate) -> bool:
    """False when the id is taken."""
    row = insert(tenants).values(
        id=body.id,
        name=body.name or body.id,
        max_vms=body.max_vms,
        max_vcpus=body.max_vcpus,
        max_memory_bytes=body.max_memory_bytes,
        max_disk_bytes=body.max_disk_bytes,
        totp_required=body.totp_required,
    )
    return (await conn.execute(row.on_conflict_do_nothing().returning(tenants.c.id))).first() is not None


async def change(conn: AsyncConnection, tenant_id: str, values: dict[str, Any]) -> None:
    if values:
        await conn.execute(update(tenants).where(tenants.c.id == tenant_id).values(**values))


async def contents(conn: AsyncConnection, tenant_id: str) -> dict[str, int]:
    """How many things of each kind keep a tenant from being deleted, by the word for one of them."""
    counts = {
        "member": select(func.count()).select_from(memberships).where(memberships.c.tenant == tenant_id),
        "VM": select(func.count()).select_from(vms).where(vms.c.tenant == tenant_id),
        "volume": select(func.count()).select_from(volumes).where(volumes.c.tenant == tenant_id),
        "running operation": select(func.count())
        .select_from(operations)
        .where(operations.c.tenant == tenant_id, _OPEN),
    }
    return {word: int((await conn.execute(query)).scalar_one()) for word, query in counts.items()}


async def delete_tenant(conn: AsyncConnection, tenant_id: str) -> list[str]:
    """Delete a tenant without contents. Its invitations and API tokens go with it, its ended operations are left to
    administrators, and sessions of administrators in it go on where their sign-ins begin. Returns their ids."""
    await conn.execute(delete(one_time_codes).where(one_time_codes.c.tenant == tenant_id))
    await conn.execute(delete(api_tokens).where(api_tokens.c.tenant == tenant_id))
    await conn.execute(update(operations).where(operations.c.tenant == tenant_id).values(tenant=None))
    home = select(users.c.tenant).where(users.c.id == sessions.c.user_id).correlate(sessions).scalar_subquery()
    there = sessions.c.tenant == tenant_id
    moved = update(sessions).where(there, home.is_not(None), home != tenant_id).values(tenant=home)
    ended = list((await conn.execute(moved.returning(sessions.c.id))).scalars())
    ended += (await conn.execute(delete(sessions).where(there).returning(sessions.c.id))).scalars()
    await conn.execute(update(users).where(users.c.tenant == tenant_id).values(tenant=None))
    await conn.execute(delete(tenants).where(tenants.c.id == tenant_id))
    return ended


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        members=row.members,
        max_vms=row.max_vms,
        max_vcpus=row.max_vcpus,
        max_memory_bytes=row.max_memory_bytes,
        max_disk_bytes=row.max_disk_bytes,
        totp_required=row.totp_required,
    )
