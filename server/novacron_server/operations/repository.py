"""The SQL of operations."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Row, and_, bindparam, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.operations import BulkCounts, Operation, OperationState, Target
from novacron_core.api.problem import Problem
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.rows import read_each
from novacron_server.database.tables import operations as t
from novacron_server.database.tables import tenants, vms, volumes

CHILD_KIND = "child_kind"
"""The field of a bulk's request that names the kind of its operations."""
UNENDED = (OperationState.PENDING, OperationState.RUNNING)

# Built once: to build a statement and to look it up among the compiled ones takes longer than its parameters.
_TENANT_OF_VM = select(vms.c.tenant).where(vms.c.host_id == bindparam("host_id"), vms.c.id == bindparam("id"))
_OF_ANOTHER = (
    select(volumes.c.id)
    .where(volumes.c.id.in_(bindparam("ids", expanding=True)), volumes.c.tenant != bindparam("tenant"))
    .limit(1)
)
_INSERT = pg_insert(t).on_conflict_do_nothing().returning(t.c.id)
_SAVE = update(t).where(t.c.id == bindparam("its_id"), t.c.state.in_([str(s) for s in UNENDED])).returning(t.c.id)


class StoredOperation(msgspec.Struct, frozen=True, kw_only=True):
    """An operation with what only the server knows: its request, and the steps in its journal."""

    operation: Operation
    host_id: str | None
    request: dict[str, Any]
    steps: dict[str, Any]
    request_hash: str | None


async def add(
    connection: AsyncConnection,
    operation: Operation,
    *,
    host_id: str | None,
    principal: Principal,
    request: dict[str, Any],
    steps: dict[str, Any],
    idempotency_key: str,
    request_hash: str,
) -> bool:
    """Insert an operation. False, with nothing written, if an unended one locks the target or the key is used."""
    values = {
        "id": operation.id,
        "kind": operation.kind,
        "target_type": operation.target.type,
        "target_id": operation.target.id,
        "target_name": operation.target.name,
        "host_id": host_id,
        "tenant": operation.tenant,
        "actor": operation.actor,
        "actor_id": principal.user_id,
        "state": str(operation.state),
        "step": operation.step,
        "request": request,
        "steps": steps,
        "may_cancel": operation.may_cancel,
        "idempotency_key": idempotency_key or None,
        "request_hash": request_hash or None,
        "created_at": operation.created_at,
        "locks": msgspec.to_builtins(operation.locks),
        "parent": operation.parent,
        "counts": msgspec.to_builtins(operation.counts),
        "api_token": operation.api_token,
    }
    result = await connection.execute(_INSERT, values)
    return result.first() is not None


async def tenant_of_vm(connection: AsyncConnection, host_id: str, vm_id: str) -> str | None:
    """None for a VM without a row."""
    found = await connection.execute(_TENANT_OF_VM, {"host_id": host_id, "id": vm_id})
    tenant: str | None = found.scalar_one_or_none()
    return tenant


async def any_of_another(connection: AsyncConnection, volume_ids: Collection[str], tenant: str) -> bool:
    """Whether one of these volumes is of another tenant."""
    found = await connection.execute(_OF_ANOTHER, {"ids": list(volume_ids), "tenant": tenant})
    return found.first() is not None


async def tenant_exists(connection: AsyncConnection, tenant: str) -> bool:
    """Whether there is this tenant; it cannot be deleted before this transaction ends."""
    found = select(tenants.c.id).where(tenants.c.id == tenant).with_for_update(key_share=True, read=True)
    return (await connection.execute(found)).first() is not None


async def by_key(connection: AsyncConnection, principal: Principal, key: str) -> StoredOperation | None:
    """The operation that this principal has started with an idempotency key: a member in the tenant of the session, an
    administrator in any, or on an unmanaged VM. A token that is limited to some VMs gets those alone that it has started
    itself."""
    query = select(t).where(t.c.actor_id == principal.user_id, t.c.idempotency_key == key)
    if principal.role is not Role.ADMINISTRATOR:
        query = query.where(t.c.tenant == principal.tenant)
    if principal.vm_filter:
        query = query.where(t.c.api_token == principal.limited_token)
    row = (await connection.execute(query)).first()
    return _stored(row) if row else None


async def holder(connection: AsyncConnection, target: Target) -> StoredOperation | None:
    """The unended operation on a target, None if there is none. Locks its row."""
    where = (t.c.target_type == target.type, t.c.target_id == target.id, t.c.state.in_([str(s) for s in UNENDED]))
    row = (await connection.execute(select(t).where(*where).with_for_update())).first()
    return _stored(row) if row else None


async def holder_of_volumes(connection: AsyncConnection, volume_ids: Collection[str]) -> Operation | None:
    """An unended operation on one of these volumes, or one that locks it. Others that ask wait until the commit."""
    for volume_id in sorted(volume_ids):
        await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"volume/{volume_id}", 0))))
    locked = [t.c.locks.contains([{"type": "volume", "id": volume_id}]) for volume_id in volume_ids]
    on_volume = and_(t.c.target_type == "volume", t.c.target_id.in_(volume_ids))
    is_unended = t.c.state.in_([str(s) for s in UNENDED])
    row = (await connection.execute(select(t).where(is_unended, or_(on_volume, *locked)).limit(1))).first()
    return _stored(row).operation if row else None


async def save(connection: AsyncConnection, operation: Operation) -> bool:
    """Write the columns that change. False if the operation had already ended, because an end is final."""
    values = {
        "its_id": operation.id,
        "state": str(operation.state),
        "step": operation.step,
        "progress": operation.progress,
        "may_cancel": operation.may_cancel,
        "completed": operation.completed,
        "counts": msgspec.to_builtins(operation.counts),
        "problem": msgspec.to_builtins(operation.problem) if operation.problem else None,
        "started_at": operation.started_at,
        "finished_at": operation.finished_at,
    }
    result = await connection.execute(_SAVE, values)
    return result.first() is not None


async def write_ahead(connection: AsyncConnection, operation_id: str, steps: dict[str, Any]) -> None:
    """Write the journal, so that after a crash it is known what may have been created."""
    await connection.execute(update(t).where(t.c.id == operation_id).values(steps=steps))


async def mark(connection: AsyncConnection, operation_id: str, **marks: bool) -> None:
    """Set boolean fields in the steps of an ended operation, and keep the others."""
    await connection.execute(update(t).where(t.c.id == operation_id).values(steps=t.c.steps.op("||")(marks)))


async def get(connection: AsyncConnection, operation_id: str) -> StoredOperation | None:
    row = (await connection.execute(select(t).where(t.c.id == operation_id))).first()
    return _stored(row) if row else None


async def unended(connection: AsyncConnection) -> list[StoredOperation]:
    """The operations that the last server left running, oldest first."""
    query = select(t).where(t.c.state.in_([str(s) for s in UNENDED])).order_by(t.c.created_at)
    return read_each(await connection.execute(query), _stored)


async def ended_in(connection: AsyncConnection, kind: str, states: Collection[OperationState]) -> list[StoredOperation]:
    """The newest thousand operations of a kind that ended in one of these states."""
    where = (t.c.kind == kind, t.c.state.in_([str(state) for state in states]))
    rows = await connection.execute(select(t).where(*where).order_by(t.c.created_at.desc()).limit(1000))
    return read_each(rows, _stored)


async def with_step(
    connection: AsyncConnection, kind: str, tenant: str | None, path: tuple[str, ...], value: str, limit: int
) -> list[StoredOperation]:
    """The newest operations of a kind and tenant whose steps have this text at `path`."""
    where = (t.c.tenant == tenant, t.c.kind == kind, t.c.steps[path].astext == value)
    rows = await connection.execute(select(t).where(*where).order_by(t.c.created_at.desc()).limit(limit))
    return read_each(rows, _stored)


async def marked(connection: AsyncConnection, step: str) -> list[StoredOperation]:
    """The operations whose steps have this field set to true."""
    return read_each(await connection.execute(select(t).where(t.c.steps[step].astext == "true")), _stored)


async def recent(connection: AsyncConnection, limit: int) -> list[Operation]:
    """The newest `limit` operations, in ascending order of creation. Those of a bulk are left out: it stands for them."""
    rows = await connection.execute(select(t).where(t.c.parent.is_(None)).order_by(t.c.created_at.desc()).limit(limit))
    return [stored.operation for stored in read_each(rows, _stored)][::-1]


async def page(
    connection: AsyncConnection,
    principal: Principal,
    words: list[str],
    offset: int,
    limit: int,
    targets: Collection[str] | None = None,
) -> tuple[list[Operation], int]:
    """Return (one page, the total number) of what the principal may see, newest first. `words` as in `queries.page`.
    `targets` are the ids of all that it sees, None for no limit: others' operations are left out."""
    where: list[Any] = [] if principal.role is Role.ADMINISTRATOR else [t.c.tenant == principal.tenant]
    if targets is not None:
        where.append(or_(t.c.api_token == principal.limited_token, t.c.target_id.in_(targets)))
    if not words:
        where.append(t.c.parent.is_(None))
    for word in words:
        text = func.concat_ws(" ", t.c.kind, t.c.target_name, t.c.state, t.c.actor)
        where.append(text.icontains(word, autoescape=True))
    total = (await connection.execute(select(func.count()).select_from(t).where(*where))).scalar_one()
    rows = await connection.execute(
        select(t).where(*where).order_by(t.c.created_at.desc(), t.c.id).offset(offset).limit(limit)
    )
    return [stored.operation for stored in read_each(rows, _stored)], total


def _stored(row: Row[Any]) -> StoredOperation:
    return StoredOperation(
        operation=Operation(
            id=str(row.id),
            kind=row.kind,
            target=Target(type=row.target_type, id=row.target_id, name=row.target_name),
            state=OperationState(row.state),
            created_at=row.created_at,
            tenant=row.tenant,
            actor=row.actor,
            step=row.step or "",
            progress=row.progress,
            may_cancel=row.may_cancel,
            started_at=row.started_at,
            finished_at=row.finished_at,
            problem=msgspec.convert(row.problem, Problem) if row.problem else None,
            completed=row.completed,
            locks=msgspec.convert(row.locks, list[Target]),
            parent=str(row.parent) if row.parent else None,
            counts=msgspec.convert(row.counts, BulkCounts) if row.counts else None,
            child_kind=row.request.get(CHILD_KIND, ""),
            api_token=row.api_token,
        ),
        host_id=str(row.host_id) if row.host_id else None,
        request=row.request,
        steps=row.steps or {},
        request_hash=row.request_hash,
    )


async def delete_ended_before(connection: AsyncConnection, moment: datetime) -> int:
    """Delete operations that ended before `moment`. G8 promises at least 30 days. Returns their number."""
    result = await connection.execute(t.delete().where(t.c.finished_at < moment))
    return int(result.rowcount)
