"""Making an empty volume, copying one, and deleting one: the work behind the verbs, and its mending after a crash."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from novacron_core import errors
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import VolumeSpec
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.operation_files import temporary_name
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.repository import Stored
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.volumes import repository
from novacron_server.volumes.copies import VolumeCopy, check_free, create_ours
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.row_events import volume_row_event
from novacron_server.volumes.users import only_user


async def clear_place(connection: Connection, row: VolumeRow | None) -> list[EventDraft]:
    """Remove the row of a volume that somebody removed outside NovaCron. Raises Conflict when that changed."""
    if not await repository.clear(connection, row):
        raise errors.Conflict("the place was taken just now: look again")
    return [volume_row_event(row, gone=True)] if row else []


class VolumeCreation:
    """Each step can be done twice."""

    def __init__(
        self, database: Database, group_commit: GroupCommit, inventory: Inventory, leftovers: LeftoverCopies
    ) -> None:
        self._leftovers = leftovers
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory

    @staticmethod
    async def write_row(connection: Connection, row: VolumeRow, instead_of: VolumeRow | None) -> list[EventDraft]:
        """The row of a volume to come, in its operation's transaction. Raises Conflict when its place is taken."""
        cleared = await clear_place(connection, instead_of)
        await repository.add(connection, row)
        return [*cleared, volume_row_event(row)]

    async def create(self, run: OperationContext, host: LibvirtHost, spec: VolumeSpec, path: str) -> None:
        """Make an empty volume."""
        await check_free(host, spec.pool, spec.name)
        await run.write_ahead(copy={"pool": spec.pool, "name": spec.name, "path": path, "temporary": "", "inode": 0})
        await failpoint("volume.create:planned")
        await create_ours(run, host, spec)
        await failpoint("volume.create:made")
        await self._inventory.until_folded(run.id)
        await self._inventory.refresh_volumes(host.host_id)

    async def clone(
        self, run: OperationContext, host: LibvirtHost, source: VolumeFacts, pool: str, folder: str, name: str
    ) -> None:
        """Copy a volume that nobody writes to, compared."""
        copy = {"pool": pool, "temporary": temporary_name(name, run.id)}
        self._inventory.state.storage.copies.note(run.id, host.host_id, {"copy": copy})
        await VolumeCopy(run, host, source, pool, folder, name).make()
        await self._inventory.until_folded(run.id)
        await self._inventory.refresh_volumes(host.host_id)

    async def undo(self, stored: Stored) -> str:
        """Take away what a creation or a copy that did not finish had made, with its row."""
        host_id = stored.host_id or ""
        later = await self._leftovers.discard(stored)
        made = [*stored.operation.locks, stored.operation.target]
        await self._forget(made[-2].id if stored.operation.locks else made[-1].id)  # a copy is the last that is held
        with suppress(errors.HostUnavailable, errors.NotFound):
            await self._inventory.refresh_volumes(host_id)
        return later or "what it had made was removed"

    async def delete(self, run: OperationContext, volume_id: str, path: str) -> None:
        """Delete a volume that no VM has as a disk. Raises Conflict naming the VM, NotFound."""
        row = await self._row(volume_id)
        if row is None:
            raise errors.NotFound("there is no such volume")
        host = self._inventory.host(row.host_id)
        await failpoint("volume.delete:began")
        await only_user(host, row.name, path, None, fresh=True)
        await run.forbid_cancel()
        await self._gone(host, row)

    async def delete_again(self, stored: Stored) -> str:
        """After a crash: the operator wanted it gone, so finish that, if still nobody uses it."""
        row = await self._row(stored.operation.target.id)
        if row is None:
            return "the volume was deleted"
        host = self._inventory.host(row.host_id)
        facts = await host.storage.read_volume(row.pool, row.name)
        if facts is not None and await host.disks.users(facts.path, fresh=True):
            return "a VM uses the volume, so it was left alone"
        await self._gone(host, row)
        return "the deletion was finished"

    async def _gone(self, host: LibvirtHost, row: VolumeRow) -> None:
        await host.storage.delete_volume(row.pool, row.name)
        await failpoint("volume.delete:deleted")
        await self._forget(row.id)
        await self._inventory.refresh_volumes(host.host_id)

    async def _row(self, volume_id: str) -> VolumeRow | None:
        return await self._database.run(lambda c: repository.get(c, volume_id), read_only=True)

    async def _forget(self, volume_id: str) -> None:
        async def forget(connection: Connection) -> tuple[None, Sequence[EventDraft]]:
            row = await repository.get(connection, volume_id)
            if row is None:
                return None, []
            await repository.remove(connection, row.id)
            return None, [volume_row_event(row, gone=True)]

        await retry_while_database_down("forgetting a volume", lambda: self._group_commit.write(forget))
