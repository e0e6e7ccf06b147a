"""The VM that an object is about: by it, callers that are limited to some VMs see the object or do not."""

from __future__ import annotations

from typing import Any

from novacron_core.api.nouns import HOSTS, POOLS, TIERS
from novacron_core.api.operations import Operation, Target
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.vms import Scoped
from novacron_core.rules.visibility import Principal, ScopedVM, in_scope, may, may_see, may_see_vm
from novacron_core.values.roles import Permission
from novacron_server.http.asked import asker_may
from novacron_server.inventory.state import InventoryState

NEEDED = (HOSTS.type, POOLS.type, TIERS.type)
"""Nouns that are about no VM, and that nobody creates VMs without."""


def sees(principal: Principal, state: InventoryState, noun_type: str, tenant: str | None, value: Any) -> bool:
    """Whether the principal may know that an object exists. `tenant` is that of the object."""
    if not may_see(principal, tenant):
        return False
    if not principal.vm_filter or noun_type in NEEDED:
        return True
    if isinstance(value, Operation) and value.api_token == principal.limited_token:
        return True
    subject = subject_of(state, value)
    return subject is not None and may_see_vm(principal, subject)


def subject_of(state: InventoryState, value: Any) -> ScopedVM | None:
    """The VM that an object is about, None for none."""
    if isinstance(value, VM):
        return value
    if isinstance(value, Volume):
        return _at(state, value.host, value.vm) if value.vm else None
    return target_subject(state, value.target) if isinstance(value, Operation) else None


def target_subject(state: InventoryState, target: Target) -> ScopedVM | None:
    """The VM that a target is or belongs to. Hosts may share an id: then there is none."""
    if target.type == "volume":
        volume = state.storage.volume(target.id)
        return subject_of(state, volume) if volume else None
    if target.type != "vm":
        return None
    found: list[ScopedVM] = list(state.vms_with(target.id))
    found = found or [row for (_, vm_id), row in state.rows.items() if vm_id == target.id]
    return found[0] if len(found) == 1 else None


def event_subject(state: InventoryState, source: str, target: Target, value: Any) -> ScopedVM | None:
    """The VM that an event is about as it is now; `value` is the value of its target."""
    if target.type == "vm":
        return _at(state, source, target.id)
    if isinstance(value, dict):  # an operation is sent as its row
        named = value.get("target") or {}
        return target_subject(state, Target(type=str(named.get("type")), id=str(named.get("id"))))
    return subject_of(state, value)


def seen_ids(principal: Principal, state: InventoryState) -> list[str] | None:
    """The ids of all VMs and volumes that a caller with a filter sees, for queries of records about them; None for a
    caller without."""
    if not principal.vm_filter:
        return None
    ids = {vm.id for vm in state.vms() if may_see_vm(principal, vm)}
    ids -= {vm.id for vm in state.vms() if vm.id in ids and not may_see_vm(principal, vm)}  # hosts may share an id
    volumes = (each for each in state.storage.volumes() if each.vm in ids)
    return sorted(ids | {each.id for each in volumes if sees(principal, state, "volume", each.tenant, each)})


def host_names(principal: Principal, state: InventoryState) -> dict[str, str]:
    """The names of the hosts by id, for a filter of this principal: none for whom may not read hosts."""
    return {view.id: view.name for view in state.views.values()} if may(principal, Permission.HOST_READ) else {}


def host_word(name: str) -> str:
    """A host in a sentence for who asks."""
    return name if asker_may(Permission.HOST_READ) else "the host"


def left_scope(principal: Principal, before: Scoped | None, after: Scoped | None) -> bool:
    """Whether an object has just gone out of the caller's filter."""
    return in_scope(principal, before) and not in_scope(principal, after)


def _at(state: InventoryState, host_id: str, vm_id: str) -> ScopedVM | None:
    return state.composed((host_id, vm_id)) or state.rows.get((host_id, vm_id))
