"""Creates event drafts for the differences between two reads of a host."""

from __future__ import annotations

import msgspec

from novacron_core.api.events import Priority
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation, Target
from novacron_core.api.pools import Pool
from novacron_core.api.vms import State
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import SHARED
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.inventory.compose import HostView
from novacron_server.inventory.rows import VMRow
from novacron_server.inventory.storage_changes import StorageChanges
from novacron_server.outbox.records import EventDraft

_BY_STATE: dict[State, tuple[str, Priority]] = {
    State.RUNNING: ("vm.started", Priority.NORMAL),
    State.STOPPED: ("vm.stopped", Priority.NORMAL),
    State.PAUSED: ("vm.paused", Priority.NORMAL),
    State.SAVED: ("vm.saved", Priority.NORMAL),
    State.CRASHED: ("vm.crashed", Priority.CRITICAL),
    State.FAILED: ("vm.failed", Priority.HIGH),
}

_STARTS = (OperationKind.VM_START, OperationKind.VM_CREATE)


def vm_change(
    host_id: str,
    before: DomainFacts | None,
    now: DomainFacts | None,
    row: VMRow | None,
    *,
    first_read: bool = False,
    operation: Operation | None = None,
) -> EventDraft | None:
    """The event for a domain that changed from `before` to `now`; None if nothing changed.

    `first_read`: this server has not read the host before, so its VMs existed already and were not just created.
    `operation` runs on the VM: one that starts it reports itself that it failed.
    """
    facts = now or before
    if before == now or facts is None:
        return None
    # A managed VM was announced with its row, before the domain was created.
    known = first_read or (before is None and row is not None)
    reports = operation is not None and operation.kind in _STARTS and now is not None and now.state is State.FAILED
    kind, priority, note = ("vm.updated", Priority.LOW, "") if known or reports else _classify(before, now)
    draft = EventDraft(
        type=kind,
        source=host_id,
        target=Target(type="vm", id=facts.uuid, name=facts.name),
        tenant=row.tenant if row else None,
        priority=priority,
        row=None,
        gone=now is None,
        note=note,
        actor=operation.actor if operation else "",
    )
    same = before is not None and now is not None and before.state is now.state
    if known or same or (kind == "vm.updated" and now is not None and now.state in _BY_STATE):
        return draft  # its state has not changed, or the operation tells it
    return msgspec.structs.replace(
        draft,
        before=str(before.state) if before else None,
        after=str(now.state) if now else None,
        reason=now.reason if now else "",
    )


def _classify(before: DomainFacts | None, now: DomainFacts | None) -> tuple[str, Priority, str]:
    if now is None:
        return "vm.deleted", Priority.NORMAL, ""
    if before is None:
        return "vm.created", Priority.NORMAL, ""
    forgotten = before.state is State.CRASHED and now.state is State.STOPPED and not now.ended_cleanly
    if before.state is now.state or forgotten:  # a libvirtd that was restarted has forgotten how the VM ended
        return "vm.updated", Priority.LOW, ""
    if before.state is State.PAUSED and now.state is State.RUNNING:
        return "vm.resumed", Priority.NORMAL, ""
    kind, priority = _BY_STATE.get(now.state, ("vm.updated", Priority.LOW))
    return kind, priority, now.reason


def vm_refreshed(host_id: str, vm_id: str, name: str, tenant: str | None, note: str = "") -> EventDraft:
    """An event that makes clients refresh a VM (its host was lost, its operation changed)."""
    return refreshed(Target(type="vm", id=vm_id, name=name), host_id, tenant, note)


def refreshed(target: Target, source: str, tenant: str | None, note: str = "") -> EventDraft:
    """An event that makes clients refresh its target."""
    kind = f"{target.type}.updated"
    return EventDraft(type=kind, source=source, target=target, tenant=tenant, priority=Priority.LOW, note=note)


def host_change(before: HostView | None, now: HostView) -> EventDraft | None:
    """The event for a host whose status or configuration changed; free memory and latency alone cause no event."""
    if before and (before.status, before.detail, _configuration(before)) == (
        now.status,
        now.detail,
        _configuration(now),
    ):
        return None
    target = Target(type="host", id=now.id, name=now.name)
    # A host that has not answered yet, or is being connected to, is not lost.
    waits = now.status is HostStatus.CONNECTING or (before is None and now.status is not HostStatus.UP)
    if waits or before is None or before.status is now.status:
        note = "" if waits else now.detail
        kind = "host.up" if before is None and not waits else "host.updated"
        return EventDraft(type=kind, source=now.id, target=target, tenant=SHARED, priority=Priority.LOW, note=note)
    return EventDraft(
        type=f"host.{now.status}",
        source=now.id,
        target=target,
        tenant=SHARED,
        priority=Priority.NORMAL if now.status is HostStatus.UP else Priority.CRITICAL,
        note=now.detail,
        before=str(before.status),
        after=str(now.status),
        reason=now.detail,
    )


def _configuration(view: HostView) -> tuple[object, ...]:
    facts = view.facts
    return (facts.cpus, facts.networks, facts.libvirt_version, facts.virtualization) if facts else ()


def storage_changes(host_id: str, changes: StorageChanges) -> list[EventDraft]:
    """The events for the changes found in a read of a host's storage."""
    return [
        *(volume_refreshed(host_id, volume) for volume in changes.volumes),
        *(volume_refreshed(host_id, volume, gone=True) for volume in changes.gone_volumes),
        *(pool_change(changes.earlier_pools.get(pool.id), pool) for pool in changes.pools),
        *(pool_refreshed(pool, gone=True) for pool in changes.gone_pools),
        *(tier_refreshed(tier.name) for tier in changes.tiers),
    ]


def volume_refreshed(host_id: str, volume: Volume, *, gone: bool = False) -> EventDraft:
    """An event that makes clients refresh a volume: it appeared, changed or is gone."""
    target = Target(type="volume", id=volume.id, name=volume.name)
    kind = "volume.deleted" if gone else "volume.updated"
    return EventDraft(type=kind, source=host_id, target=target, tenant=volume.tenant, priority=Priority.LOW, gone=gone)


def pool_refreshed(pool: Pool, *, gone: bool = False) -> EventDraft:
    """An event that makes clients refresh a pool."""
    target = Target(type="pool", id=pool.id, name=pool.name)
    kind = "pool.deleted" if gone else "pool.updated"
    return EventDraft(type=kind, source=pool.host, target=target, tenant=SHARED, priority=Priority.LOW, gone=gone)


def pool_change(before: Pool | None, now: Pool) -> EventDraft:
    """The event for a pool that appeared or changed."""
    draft = pool_refreshed(now)
    if before is None or before.active == now.active:
        return draft
    after = _pool_state(now)
    return msgspec.structs.replace(
        draft, before=_pool_state(before), after=after, reason=now.problem, note=now.problem or after
    )


def _pool_state(pool: Pool) -> str:
    return "active" if pool.active else "inactive"


def tier_refreshed(name: str) -> EventDraft:
    """An event that makes clients refresh a tier."""
    target = Target(type="tier", id=name, name=name)
    return EventDraft(type="tier.updated", source="storage", target=target, tenant=SHARED, priority=Priority.LOW)
