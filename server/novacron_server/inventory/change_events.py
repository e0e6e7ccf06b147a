"""What is worth telling: the drafts of events for a difference between two reads of a host."""

from __future__ import annotations

from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.pools import Pool
from novacron_core.api.vms import State
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import SHARED
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


def vm_change(
    host_id: str, before: DomainFacts | None, now: DomainFacts | None, row: VMRow | None, *, first_look: bool = False
) -> EventDraft | None:
    """The event for a domain that was read as `before` and is `now`; None when nothing changed.

    `first_look`: this server had not read the host before, so what it finds was there and is no news.
    """
    facts = now or before
    if before == now or facts is None:
        return None
    # A VM of ours was announced with its row, before it was made.
    known = first_look or (before is None and row is not None)
    kind, priority, note = ("vm.updated", Priority.LOW, "") if known else _name(before, now)
    return EventDraft(
        type=kind,
        source=host_id,
        target=Target(type="vm", id=facts.uuid, name=facts.name),
        tenant=row.tenant if row else None,
        priority=priority,
        row=None,
        gone=now is None,
        note=note,
    )


def _name(before: DomainFacts | None, now: DomainFacts | None) -> tuple[str, Priority, str]:
    if now is None:
        return "vm.deleted", Priority.NORMAL, ""
    if before is None:
        return "vm.created", Priority.NORMAL, ""
    if before.state is now.state:
        return "vm.updated", Priority.LOW, ""
    if before.state is State.PAUSED and now.state is State.RUNNING:
        return "vm.resumed", Priority.NORMAL, ""
    kind, priority = _BY_STATE.get(now.state, ("vm.updated", Priority.LOW))
    return kind, priority, now.reason


def vm_refreshed(host_id: str, vm_id: str, name: str, tenant: str | None, note: str = "") -> EventDraft:
    """The event that says: look at this VM again (its host went away, its operation changed)."""
    return refreshed(Target(type="vm", id=vm_id, name=name), host_id, tenant, note)


def refreshed(thing: Target, source: str, tenant: str | None, note: str = "") -> EventDraft:
    """The event that says: look at this thing again."""
    kind = f"{thing.type}.updated"
    return EventDraft(type=kind, source=source, target=thing, tenant=tenant, priority=Priority.LOW, note=note)


def host_change(before: HostView | None, now: HostView) -> EventDraft | None:
    """The event for a host whose status or make-up changed; free memory and latency alone are no event."""
    if before and (before.status, before.detail, _lasting(before)) == (now.status, now.detail, _lasting(now)):
        return None
    same_status = before is not None and before.status is now.status
    kind = "host.updated" if same_status else f"host.{now.status}"
    target = Target(type="host", id=now.id, name=now.name)
    priority = Priority.NORMAL if now.status == "up" else Priority.CRITICAL
    return EventDraft(type=kind, source=now.id, target=target, tenant=SHARED, priority=priority, note=now.detail)


def _lasting(view: HostView) -> tuple[object, ...]:
    facts = view.facts
    return (facts.cpus, facts.networks, facts.libvirt_version, facts.virtualization) if facts else ()


def storage_changes(host_id: str, changes: StorageChanges) -> list[EventDraft]:
    """The events for what a look at a host's storage found."""
    return [
        *(volume_refreshed(host_id, volume) for volume in changes.volumes),
        *(volume_refreshed(host_id, volume, gone=True) for volume in changes.gone_volumes),
        *(pool_refreshed(pool) for pool in changes.pools),
        *(pool_refreshed(pool, gone=True) for pool in changes.gone_pools),
        *(tier_refreshed(tier.name) for tier in changes.tiers),
    ]


def volume_refreshed(host_id: str, volume: Volume, *, gone: bool = False) -> EventDraft:
    """The event that says: look at this volume again. It appeared, changed or went."""
    target = Target(type="volume", id=volume.id, name=volume.name)
    kind = "volume.deleted" if gone else "volume.updated"
    return EventDraft(type=kind, source=host_id, target=target, tenant=volume.tenant, priority=Priority.LOW, gone=gone)


def pool_refreshed(pool: Pool, *, gone: bool = False) -> EventDraft:
    """The event that says: look at this pool again."""
    target = Target(type="pool", id=pool.id, name=pool.name)
    kind = "pool.deleted" if gone else "pool.updated"
    return EventDraft(type=kind, source=pool.host, target=target, tenant=SHARED, priority=Priority.LOW, gone=gone)


def tier_refreshed(name: str) -> EventDraft:
    """The event that says: look at this tier again."""
    target = Target(type="tier", id=name, name=name)
    return EventDraft(type="tier.updated", source="storage", target=target, tenant=SHARED, priority=Priority.LOW)
