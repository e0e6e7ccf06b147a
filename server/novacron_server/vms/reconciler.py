"""Compares rows, domains and volumes, at start and every 30 s, and mends what a crash or a late answer left behind.

It removes only what bears our mark and belongs to a creation that is known to have failed. What somebody else made is
shown and left alone.
"""

from __future__ import annotations

import asyncio

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import State
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.state import Key
from novacron_server.operations import journal
from novacron_server.operations import repository as operations
from novacron_server.operations.journal import Journal
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.vms.procedures.create import CreateSteps, CreateVM
from novacron_server.vms.reappearance import ReappearedVMs
from novacron_server.vms.rows import remove_vm

_log = structlog.get_logger()
EVERY_S = 30.0
_FAILED = (OperationState.FAILED, OperationState.CANCELLED, OperationState.INTERRUPTED)
_PASSES_BEFORE_GONE = 2


class Reconciler:
    """Run `run` as a task. `once` is one pass over every host that is up."""

    def __init__(
        self, database: Database, group_commit: GroupCommit, inventory: Inventory, creation: CreateVM, instance: str
    ) -> None:
        """`instance` is the installation's uuid, which every domain that it made bears."""
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory
        self._instance = instance
        self._creation = creation
        self._reappeared = ReappearedVMs(database, group_commit, inventory, instance)
        self._missing: dict[Key, int] = {}

    async def run(self) -> None:
        """Compare for ever. Cancel to stop."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.once()
            except errors.NovaCronError as e:
                _log.warning("comparing waits", reason=e.detail)

    async def once(self) -> None:
        """One pass. Raises DatabaseUnavailable: the next pass goes on."""
        if self._database.refusal:
            raise errors.DatabaseUnavailable(self._database.refusal)
        failed = await self._database.run(self._failed_creations, read_only=True)
        marked = await self._database.run(lambda c: operations.marked(c, "undone_later"), read_only=True)
        left = list(journal.read_all(marked, CreateSteps))
        for view in list(self._inventory.state.views.values()):
            if view.status is HostStatus.UP:
                try:
                    await self._compare(self._inventory.host(view.id), failed, left)
                except errors.DatabaseUnavailable:
                    raise
                except errors.NovaCronError as e:  # the next pass goes on there; other hosts have nothing to do with it
                    _log.warning("comparing a host waits", host=view.name, reason=e.detail)

    async def _compare(
        self, host: LibvirtHost, failed: dict[str, Journal[CreateSteps]], left: list[Journal[CreateSteps]]
    ) -> None:
        await self._late_domains(host, failed)
        await self._reappeared.look(host)
        await self._late_volumes(host, failed)
        await self._undone_later(host, left)
        await self._rows_without_domain(host, {entry.operation.target.id for entry in left})

    @staticmethod
    async def _failed_creations(connection: Connection) -> dict[str, Journal[CreateSteps]]:
        stored = await operations.ended_badly(connection, OperationKind.VM_CREATE, _FAILED)
        entries = journal.read_all(stored, CreateSteps)
        return {entry.operation.id: entry for entry in entries if not entry.steps.whole}

    async def _late_domains(self, host: LibvirtHost, failed: dict[str, Journal[CreateSteps]]) -> None:
        """VMs that libvirt defined after their creation had failed: they have our tag and no row."""
        for (host_id, vm_id), known in list(self._inventory.state.known.items()):
            tag = known.facts.tag
            tagged = tag is not None and tag.instance == self._instance and tag.operation in failed
            if host_id == host.host_id and tagged and (host_id, vm_id) not in self._inventory.state.rows:
                if known.facts.state is not State.STOPPED:
                    _log.warning("a VM of a failed creation runs: left alone", vm=known.facts.name, id=vm_id)
                    continue
                _log.info("removing the VM of a failed creation", vm=known.facts.name, id=vm_id)
                await host.undefine(vm_id)
                await self._inventory.refresh_vm(host_id, vm_id)

    async def _late_volumes(self, host: LibvirtHost, failed: dict[str, Journal[CreateSteps]]) -> None:
        listed = {
            (entry.steps.pool, name)
            for entry in failed.values()
            if entry.host_id == host.host_id
            for name in entry.steps.volumes
        }
        for volume in list(self._inventory.state.storage.volumes()):
            of_nobody = volume.host == host.host_id and volume.tenant is None and volume.vm is None
            if of_nobody and (volume.pool, volume.name) in listed:
                _log.info("removing a volume of a failed creation", pool=volume.pool, volume=volume.name)
                await host.storage.delete_volume(volume.pool, volume.name)
                await self._inventory.refresh_volumes(host.host_id)

    async def _undone_later(self, host: LibvirtHost, left: list[Journal[CreateSteps]]) -> None:
        """A creation that failed with its pool off: what it had made goes when that is back."""
        for entry in left:
            if entry.host_id == host.host_id:
                try:
                    await self._creation.retry_undo(entry)
                except errors.Conflict as e:
                    _log.info("a failed creation is removed later", id=entry.operation.id, reason=e.detail)

    async def _rows_without_domain(self, host: LibvirtHost, left: set[str]) -> None:
        """Deleted behind our back: the row goes too, after a second look; its volumes stay with their owner."""
        state = self._inventory.state
        busy = left | {operation.target.id for operation in state.operations() if not operation.state.ended}
        missing = {
            key for key in state.rows if key[0] == host.host_id and key not in state.known and key[1] not in busy
        }
        self._missing = {key: count for key, count in self._missing.items() if key in missing or key[0] != host.host_id}
        for key in missing:
            self._missing[key] = self._missing.get(key, 0) + 1
            if self._missing[key] >= _PASSES_BEFORE_GONE and await host.read_domain(key[1]) is None:
                _log.warning("a VM was removed outside NovaCron", vm=state.rows[key].name, id=key[1])
                await remove_vm(self._group_commit, *key, note="removed outside NovaCron")
                await self._inventory.refresh_volumes(host.host_id)
                del self._missing[key]
