"""The names of objects, for records of requests that only have their ids."""

from __future__ import annotations

from collections.abc import Iterable

from novacron_core.api.operations import Target
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.visibility import Principal
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.subjects import sees


class ObjectNames:
    """Looks up VMs and volumes."""

    def __init__(self, state: InventoryState) -> None:
        self._state = state

    def find(self, principal: Principal, target: Target) -> tuple[str, str | None] | None:
        """The (name, tenant) of an object that the principal may see; None for a foreign and a missing one alike."""
        found: Iterable[VM | Volume | None] = ()
        if target.type == "vm":
            found = self._state.vms_with(target.id)
        elif target.type == "volume":
            found = (self._state.storage.volume(target.id),)
        seen = (
            thing
            for thing in found
            if thing is not None and sees(principal, self._state, target.type, thing.tenant, thing)
        )
        return next(((thing.name, thing.tenant) for thing in seen), None)
