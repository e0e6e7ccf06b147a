"""Compares rows, domains and volumes, at start and every 30 s, and repairs what a crash or a late answer left behind.

It removes only what carries this installation's tag and belongs to a creation that is known to have failed. Unmanaged
objects are shown and left alone (G3).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import OperationState
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.state import Key
from novacron_server.operations import journal
from novacron_server.operations import repository as operations
from novacron_server.operations.journal import Journal
from novacron_server.operations.pending_undos import PendingUndos
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.tasks import repeat, try_to
from novacron_server.vms.procedures.create import CreateSteps
from novacron_server.vms.reappearance import ReappearedVMs
from novacron_server.vms.rows import follow_names, remove_vm
from novacron_server.volumes.sizes import VolumeSizes

_log = structlog.get_logger()
EVERY_S = 30.0
_FAILED = (OperationState.FAILED, OperationState.CANCELLED, OperationState.INTERRUPTED)
_PASSES_BEFORE_REMOVAL = 2


class Reconciler:
    """`run` is a background task; `once` is one pass over all hosts that are up."""

    def __init__(
        self,
        database: Database,
        group_commit: GroupCommit,
        inventory: Inventory,
        pending_undos: PendingUndos,
        instance: str,
    ) -> None:
        """`instance` is the installation's UUID, which is in the tag of every domain that it created."""
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory
        self._instance = instance
        self._pending_undos = pending_undos
        self._reappeared = ReappearedVMs(database, group_commit, inventory, instance)
        self._volume_sizes = VolumeSizes(database, inventory)
        self._missing: dict[Key, int] = {}

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await repeat(EVERY_S, "reconciling", self.once)

    async def once(self) -> None:
        """Make one pass. Raises DatabaseUnavailable; the next pass does the rest."""
        if self._database.refusal:
            raise errors.DatabaseUnavailable(self._database.refusal)
        failed = await self._database.run(self._failed_creations, read_only=True)
        being_undone = {stored.operation.target.id for stored in await self._pending_undos.all()}
        for view in list(self._inventory.state.views.values()):
            if view.status is HostStatus.UP:
                await self._compare(self._inventory.host(view.id), failed, being_undone)

    async def _compare(
        self, host: LibvirtHost, failed: dict[str, Journal[CreateSteps]], being_undone: set[str]
    ) -> None:
        steps: Iterable[Callable[[], Awaitable[object]]] = (
            partial(follow_names, self._group_commit, self._inventory.state, host.host_id),
            partial(self._remove_late_domains, host, failed),
            partial(self._reappeared.restore, host),
            partial(self._remove_late_volumes, host, failed),
            partial(self._remove_rows_without_domain, host, being_undone),
            partial(self._volume_sizes.store, host.host_id),
        )
        for step in steps:  # one that is refused does not keep the others from their work
            await try_to(f"reconciling {host.name}", step)

    @staticmethod
    async def _failed_creations(connection: Connection) -> dict[str, Journal[CreateSteps]]:
        stored = await operations.ended_in(connection, OperationKind.VM_CREATE, _FAILED)
        entries = journal.read_all(stored, CreateSteps)
        return {entry.operation.id: entry for entry in entries if not entry.steps.whole}

    async def _remove_late_domains(self, host: LibvirtHost, failed: dict[str, Journal[CreateSteps]]) -> None:
        """Remove VMs that libvirt defined after their creation had failed: they are tagged, but have no row."""
        for (host_id, vm_id), known in list(self._inventory.state.known.items()):
            tag = known.facts.tag
            tagged = tag is not None and tag.instance == self._instance and tag.operation in failed
            if host_id == host.host_id and tagged and (host_id, vm_id) not in self._inventory.state.rows:
                if not known.facts.is_off:
                    _log.warning("a VM of a failed creation runs: left alone", vm=known.facts.name, id=vm_id)
                    continue
                _log.info("removing the VM of a failed creation", vm=known.facts.name, id=vm_id)
                await try_to(f"removing the VM {vm_id}", partial(self._undefine, host, vm_id))

    async def _undefine(self, host: LibvirtHost, vm_id: str) -> None:
        await host.undefine(vm_id)
        await self._inventory.refresh_vm(host.host_id, vm_id)

    async def _remove_late_volumes(self, host: LibvirtHost, failed: dict[str, Journal[CreateSteps]]) -> None:
        """Remove volumes that the host created after their VM's creation had failed."""
        failed_volumes = {
            (entry.steps.pool, name)
            for entry in failed.values()
            if entry.host_id == host.host_id
            for name in entry.steps.volumes
        }
        for volume in list(self._inventory.state.storage.volumes()):
            unowned = volume.host == host.host_id and volume.tenant is None and volume.vm is None
            if unowned and (volume.pool, volume.name) in failed_volumes:
                _log.info("removing a volume of a failed creation", pool=volume.pool, volume=volume.name)
                delete = partial(host.storage.delete_volume, volume.pool, volume.name)
                await try_to(f"removing the volume {volume.name}", delete)
                await self._inventory.refresh_volumes(host.host_id)

    async def _remove_rows_without_domain(self, host: LibvirtHost, being_undone: set[str]) -> None:
        """Remove rows of VMs that two passes did not find: deleted outside NovaCron. Their volumes keep their owner."""
        state = self._inventory.state
        busy = being_undone | {operation.target.id for operation in state.operations() if not operation.state.ended}
        missing = {
            key for key in state.rows if key[0] == host.host_id and key not in state.known and key[1] not in busy
        }
        self._missing = {key: count for key, count in self._missing.items() if key in missing or key[0] != host.host_id}
        for key in missing:
            self._missing[key] = self._missing.get(key, 0) + 1
            if self._missing[key] >= _PASSES_BEFORE_REMOVAL:
                await try_to(f"removing the row of {key[1]}", partial(self._remove_row, host, key))

    async def _remove_row(self, host: LibvirtHost, key: Key) -> None:
        if await host.read_domain(key[1]) is None:
            _log.warning("a VM was removed outside NovaCron", vm=self._inventory.state.rows[key].name, id=key[1])
            await remove_vm(self._group_commit, *key, note="removed outside NovaCron")
            await self._inventory.refresh_volumes(host.host_id)
            del self._missing[key]
