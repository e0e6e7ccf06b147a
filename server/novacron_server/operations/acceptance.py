"""Accepting work: its row, everything that belongs to it, and the events of that, in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.rules.operation_words import doing, why_busy
from novacron_server.database.transactions import Connection
from novacron_server.inventory.change_events import refreshed
from novacron_server.operations import repository
from novacron_server.operations.request import OperationRequest
from novacron_server.outbox.records import EventDraft

Rows = Callable[[Connection, Operation], Awaitable[list[EventDraft]]]
"""Writes what belongs to the operation in its own transaction and returns the events of that."""


async def accept(
    connection: Connection, request: OperationRequest, operation: Operation, rows: Rows | None
) -> tuple[tuple[Operation, str | None], list[EventDraft]]:
    """In one transaction: (the operation that holds now, the id of one that was pushed aside), and the events.

    Raises Conflict naming what holds the target, ValidationFailed for a key that was used for another request.
    """
    drafts: list[EventDraft] = []
    pushed_aside = None
    # An index says whether the key or the target is taken, but NULL is equal to nothing: without a tenant, look first.
    volumes = [thing for thing in (operation.target, *operation.locks) if thing.type == "volume"]
    looked = bool(request.idempotency_key) and (request.tenant is None or bool(volumes))
    if looked and (before := await _before(connection, request)):
        return (before, None), []
    await _check_volumes(connection, volumes)
    if not await _add(connection, request, operation):
        if before := await _before(connection, request):
            return (before, None), []
        pushed_aside = await _push_aside(connection, request, operation, drafts)
        if not await _add(connection, request, operation):
            # Another request came first, between our look and our insert.
            raise errors.Conflict(
                f"{request.target.name} is busy: another change was accepted just now", retry_after_s=1
            )
    drafts += await rows(connection, operation) if rows else []
    drafts += [operation_event(operation, "operation.created"), *refresh_targets(request.host_id, operation)]
    return (operation, pushed_aside), drafts


async def _add(connection: Connection, request: OperationRequest, operation: Operation) -> bool:
    return await repository.add(
        connection,
        operation,
        host_id=request.host_id,
        principal=request.principal,
        request=request.body,
        idempotency_key=request.idempotency_key,
        request_hash=request.hash,
    )


async def _before(connection: Connection, request: OperationRequest) -> Operation | None:
    """What this key has started. Raises ValidationFailed when it was asked with other words."""
    if not request.idempotency_key:
        return None
    stored = await repository.by_key(connection, request.principal, request.idempotency_key)
    return same_request(stored, request.hash)


async def _check_volumes(connection: Connection, volumes: list[Target]) -> None:
    """A disk's volume is held by an operation on its VM, which no index knows: look. Raises Conflict."""
    held = await repository.holding(connection, [volume.id for volume in volumes]) if volumes else None
    if held:
        raise errors.Conflict(f"{why_busy(volumes[0].name, held)} (operation {held.id})")


async def _push_aside(
    connection: Connection, request: OperationRequest, operation: Operation, drafts: list[EventDraft]
) -> str | None:
    held = await repository.holder(connection, request.target)
    if held is None:
        return None
    if held.operation.kind not in request.supersedes:
        raise errors.Conflict(f"{why_busy(request.target.name, held.operation)} (operation {held.operation.id})")
    problem = errors.Conflict(f"{doing(request.kind)} by {operation.actor} came in its place").problem()
    ended = msgspec.structs.replace(
        held.operation,
        state=OperationState.CANCELLED,
        problem=problem,
        finished_at=datetime.now(UTC),
        may_cancel=False,
    )
    await repository.save(connection, ended)
    drafts.append(operation_event(ended, "operation.cancelled"))
    return ended.id


def same_request(stored: repository.Stored | None, request_hash: str) -> Operation | None:
    if stored is None:
        return None
    if stored.request_hash != request_hash:
        raise errors.ValidationFailed("this Idempotency-Key was used for another request")
    return stored.operation


def operation_event(operation: Operation, kind: str) -> EventDraft:
    return EventDraft(
        type=kind,
        source="operations",
        target=Target(type="operation", id=operation.id, name=operation.kind),
        tenant=operation.tenant,
        row=msgspec.to_builtins(operation),
        note=operation.problem.detail if operation.problem else operation.step,
    )


def refresh_targets(host_id: str | None, operation: Operation) -> list[EventDraft]:
    """VMs and volumes are shown with their operation: when that comes or goes, they are told again."""
    if host_id is None:
        return []
    things = [thing for thing in (operation.target, *operation.locks) if thing.type in ("vm", "volume")]
    return [refreshed(thing, host_id, operation.tenant) for thing in things]
