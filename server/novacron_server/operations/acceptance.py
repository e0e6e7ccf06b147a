"""Accepts operations: commits the row, everything that belongs to it, and the events, in one transaction."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from novacron_core import errors
from novacron_core.api.audit import AuditResult
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.problem import FieldError
from novacron_core.rules.operation_words import noun, why_busy
from novacron_server.audit.records import AuditDraft, chain_of
from novacron_server.database.transactions import Connection
from novacron_server.inventory.change_events import refreshed
from novacron_server.operations import journal, repository
from novacron_server.operations.procedures import Procedure
from novacron_server.operations.submission import Admission, OperationRequest, Submission
from novacron_server.outbox.records import EventDraft


async def accept(
    connection: Connection,
    procedure: Procedure[Any],
    request: OperationRequest,
    submission: Submission[Any],
    operation: Operation,
    admission: Admission,
) -> tuple[tuple[Operation, str | None], list[EventDraft]]:
    """Insert the operation. Returns ((the operation in effect, the id of one that it superseded), the events).

    Raises Conflict naming what locks the target, ValidationFailed for a key that was used for another request.
    """
    drafts: list[EventDraft] = []
    superseded = None
    # Unique indexes reject a used key or a locked target, but not with a NULL: without a tenant, check first.
    volumes = [target for target in (operation.target, *operation.locks) if target.type == "volume"]
    may_pass = submission.tenant is None or bool(volumes) or submission.counts is not None  # a bulk's tenant may change
    check_key_first = bool(request.key) and may_pass
    if check_key_first and (earlier := await find_by_key(connection, request)):
        return (earlier, None), []
    await _check_volumes(connection, volumes)
    await _check_tenant(connection, request, submission)
    if await _has_left(connection, submission, volumes):
        if earlier := await find_by_key(connection, request):
            return (earlier, None), []
        raise errors.Conflict(f"{operation.target.name} has changed: refresh and try again")
    if not await _add(connection, request, submission, operation):
        if earlier := await find_by_key(connection, request):
            return (earlier, None), []
        superseded = await _supersede(connection, procedure, operation, drafts)
        if not await _add(connection, request, submission, operation):
            # Another request was accepted between the check and the insert.
            raise errors.Conflict(
                f"{operation.target.name} is busy: another change was accepted just now", retry_after_s=1
            )
    drafts += await submission.rows(connection, operation) if submission.rows else []
    if request.principal.vm_filter:
        await admission.check(connection, request, operation, submission.host_id)
    created = msgspec.structs.replace(operation_event(operation, "operation.created"), audit=_entry(request, operation))
    drafts += [created, *refresh_targets(submission.host_id, operation)]
    return (operation, superseded), drafts


def _entry(request: OperationRequest, operation: Operation) -> AuditDraft:
    """The audit log's entry of an accepted operation."""
    return AuditDraft(
        tenant=chain_of(operation.tenant),
        action=operation.kind,
        target=operation.target,
        result=AuditResult.ACCEPTED,
        actor=request.by,
        status=202,
        detail=f"operation {operation.id}" + (f" of bulk {operation.parent}" if operation.parent else ""),
    )


async def _add(
    connection: Connection, request: OperationRequest, submission: Submission[Any], operation: Operation
) -> bool:
    return await repository.add(
        connection,
        operation,
        host_id=submission.host_id,
        principal=request.principal,
        request=request.body,
        steps=journal.write(submission.steps),
        idempotency_key=request.key,
        request_hash=request.hash,
    )


async def find_by_key(connection: Connection, request: OperationRequest) -> Operation | None:
    """The operation that this key has started. Raises ValidationFailed when it was used for another request."""
    if not request.key:
        return None
    stored = await repository.by_key(connection, request.principal, request.key)
    if stored is None:
        return None
    if stored.request_hash != request.hash:
        raise errors.ValidationFailed("this Idempotency-Key was used for another request")
    return stored.operation


async def _check_tenant(connection: Connection, request: OperationRequest, submission: Submission[Any]) -> None:
    """Raises ValidationFailed for a tenant that there is not: one that is not the caller's was named by the request."""
    tenant = submission.tenant
    if tenant in (None, request.principal.tenant) or await repository.tenant_exists(connection, str(tenant)):
        return
    message = "there is no such tenant"
    raise errors.ValidationFailed(f"tenant: {message}", fields=[FieldError(field="tenant", message=message)])


async def _has_left(connection: Connection, submission: Submission[Any], volumes: list[Target]) -> bool:
    """Whether a VM or volume went to another tenant after it was checked. What has no row belongs to none."""
    tenant = submission.tenant
    if volumes and tenant and await repository.any_of_another(connection, [each.id for each in volumes], tenant):
        return True
    if submission.target.type != "vm" or submission.host_id is None:
        return False
    found = await repository.tenant_of_vm(connection, submission.host_id, submission.target.id)
    return found not in (None, submission.vm_tenant or tenant)


async def _check_volumes(connection: Connection, volumes: list[Target]) -> None:
    """Raises Conflict when a volume is locked. No index covers a disk that an operation on its VM locks."""
    holder = await repository.holder_of_volumes(connection, [volume.id for volume in volumes]) if volumes else None
    if holder:
        raise errors.Conflict(f"{why_busy(volumes[0].name, holder)} (operation {holder.id})")


async def _supersede(
    connection: Connection, procedure: Procedure[Any], operation: Operation, drafts: list[EventDraft]
) -> str | None:
    """End the operation that locks the target, if this kind supersedes it. Raises Conflict if it does not."""
    holder = await repository.holder(connection, operation.target)
    if holder is None:
        return None
    if holder.operation.kind not in procedure.supersedes:
        raise errors.Conflict(f"{why_busy(operation.target.name, holder.operation)} (operation {holder.operation.id})")
    problem = errors.Conflict(f"replaced with {noun(operation.kind)} by {operation.actor}").problem()
    ended = msgspec.structs.replace(
        holder.operation,
        state=OperationState.CANCELLED,
        problem=problem,
        finished_at=datetime.now(UTC),
        may_cancel=False,
    )
    await repository.save(connection, ended)
    drafts.append(operation_event(ended, "operation.cancelled"))
    return ended.id


def operation_event(operation: Operation, kind: str) -> EventDraft:
    """The event that carries an operation."""
    reason = operation.problem.detail if operation.problem else ""
    changed = kind != "operation.updated"  # which reports progress
    return EventDraft(
        type=kind,
        source="operations",
        target=Target(type="operation", id=operation.id, name=operation.kind),
        tenant=operation.tenant,
        row=msgspec.to_builtins(operation),
        note=reason if operation.problem else operation.step,
        before=_state_before(operation) if changed else None,
        after=str(operation.state) if changed else None,
        reason=reason,
        actor=operation.actor,
    )


def _state_before(operation: Operation) -> str | None:
    """The state before the last change: none before it was accepted."""
    if operation.state is OperationState.PENDING:
        return None
    return str(OperationState.RUNNING if operation.started_at else OperationState.PENDING)


def refresh_targets(host_id: str | None, operation: Operation) -> list[EventDraft]:
    """The events that publish the VMs and volumes again that an operation locks, when it begins or ends."""
    if host_id is None:
        return []
    targets = [target for target in (operation.target, *operation.locks) if target.type in ("vm", "volume")]
    return [refreshed(target, host_id, operation.tenant) for target in targets]
