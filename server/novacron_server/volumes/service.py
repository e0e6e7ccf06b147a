"""What may be done to volumes and by whom; accepted work goes to the runner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation, Target
from novacron_core.api.pools import Pool
from novacron_core.api.problem import FieldError
from novacron_core.api.volumes import (
    DeletionPreview,
    Volume,
    VolumeAttach,
    VolumeClone,
    VolumeCreate,
    VolumeResize,
)
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.volumes import volume_fields
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import VolumeAction, why_not_volume
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import FILE_POOLS
from novacron_server.database.transactions import Database
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.specs import VolumeSpec, image_format
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.operations.context import OperationContext
from novacron_server.operations.repository import Stored
from novacron_server.operations.request import OperationRequest
from novacron_server.operations.runner import Operations, Work
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.volumes.attachment import VolumeAttachment
from novacron_server.volumes.changes import VolumeChanges
from novacron_server.volumes.creation import VolumeCreation
from novacron_server.volumes.leftover_copies import LeftoverCopies
from novacron_server.volumes.placement import check_room, pool_for, vacant
from novacron_server.volumes.users import overlays


class Volumes:
    """The service of the noun."""

    def __init__(
        self,
        database: Database,
        group_commit: GroupCommit,
        inventory: Inventory,
        operations: Operations,
        leftovers: LeftoverCopies,
    ) -> None:
        self._inventory = inventory
        self._operations = operations
        self._changing = VolumeChanges(inventory, operations)
        self._making = VolumeCreation(database, group_commit, inventory, leftovers)
        self._attaching = VolumeAttachment(database, group_commit, inventory)
        for kind in ("volume.create", "volume.clone"):
            operations.undo_with(kind, self._making.undo)
        operations.finish_with("volume.delete", self._finish_deletion)
        for kind in ("volume.attach", "volume.detach", "volume.resize"):
            operations.undo_with(kind, self._attaching.settle)

    # -- reading ---------------------------------------------------------------------------------------------------

    def list(self, principal: Principal, q: str = "") -> Iterator[Volume]:
        """Those that a filter finds. Raises ValidationFailed when the filter is not understood."""
        volumes = self._inventory.volumes(principal)
        if not q:
            return volumes
        hosts = {view.id: view.name for view in self._inventory.state.views.values()}
        vms = {vm.id: vm.name for vm in self._inventory.vms(principal)}
        try:
            test = compile_filter(q, volume_fields(hosts, vms))
        except FilterError as e:
            raise errors.ValidationFailed(f"q: {e}", fields=[FieldError(field="q", message=str(e))]) from e
        return filter(test, volumes)

    def get(self, principal: Principal, volume_id: str) -> Volume:
        """Raises NotFound."""
        return self._inventory.volume(principal, volume_id)

    def deletion(self, principal: Principal, volume_id: str) -> DeletionPreview:
        """What deleting it would do, and whether it can be done now."""
        volume = self.get(principal, volume_id)
        vm = self._changing.vm_of(principal, volume)
        leaning = overlays(self._inventory, principal, volume)
        refused = why_not_volume(VolumeAction.DELETE, volume, vm) or ""
        if leaning and not refused:
            refused = f"{volume.name} is what {leaning[0]} leans on: delete that first"
        used_by = [vm.name] if vm else ["a VM of somebody else"] if volume.vm else []
        return DeletionPreview(
            volume=volume, frees_bytes=volume.allocated_bytes, used_by=used_by, overlays=leaning, refused=refused
        )

    # -- changing --------------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, body: VolumeCreate, key: str) -> Operation:
        """Raises Conflict (name taken, no room, no pool), NotFound (pool, host), HostUnavailable."""
        words: dict[str, Any] = msgspec.to_builtins(body)
        if before := await self._operations.repeated(principal, key, "volume.create", words):
            return before
        pool = self._pool(principal, body)
        host = self._inventory.require_host_up(pool.host)
        gone = await vacant(self._inventory, principal, pool, body.name)
        check_room(pool, body.size_bytes, body.name)
        row = self._row(principal, pool, body.name, body.format)
        spec = VolumeSpec(pool=pool.name, name=body.name, size_bytes=body.size_bytes, format=body.format)

        async def work(run: OperationContext) -> None:
            await self._making.create(run, host, spec, f"{pool.path}/{body.name}")

        target = Target(type="volume", id=row.id, name=row.name)
        request = OperationRequest(
            kind="volume.create",
            target=target,
            host_id=pool.host,
            tenant=row.tenant,
            principal=principal,
            body=words,
            idempotency_key=key,
        )
        return await self._operations.start(request, work, lambda c, _: self._making.write_row(c, row, gone))

    async def resize(self, principal: Principal, volume_id: str, body: VolumeResize, key: str) -> Operation:
        """Raises Conflict (smaller, no room, busy), Unsupported."""

        async def check(volume: Volume) -> None:
            if body.size_bytes <= volume.size_bytes:
                message = f"{volume.name} has {size_text(volume.size_bytes)} already: it can only grow"
                raise errors.ValidationFailed(message, fields=[FieldError(field="size_bytes", message=message)])
            pool = self._inventory.state.storage.pools_on(volume.host).get(volume.pool)
            if pool:
                check_room(pool, body.size_bytes - volume.size_bytes, f"growing {volume.name}")

        def work_on(volume: Volume, facts: VolumeFacts) -> Work:
            host = self._inventory.host(volume.host)
            return lambda run: self._attaching.resize(run, host, volume.vm, facts, body.size_bytes)

        return await self._changing.on(VolumeAction.RESIZE, principal, volume_id, body, key, work_on, check=check)

    async def detach(self, principal: Principal, volume_id: str, key: str) -> Operation:
        """Raises Conflict with the reason."""

        def work_on(volume: Volume, facts: VolumeFacts) -> Work:
            host, vm_id = self._inventory.host(volume.host), volume.vm or ""
            return lambda run: self._attaching.detach(run, host, vm_id, volume.id, facts.path)

        return await self._changing.on(VolumeAction.DETACH, principal, volume_id, None, key, work_on)

    async def attach(self, principal: Principal, volume_id: str, body: VolumeAttach, key: str) -> Operation:
        """Raises NotFound (VM), Conflict with the reason."""
        vm = self._inventory.vm(principal, body.vm)

        async def check(volume: Volume) -> None:
            if volume.tenant != vm.tenant:
                raise errors.Conflict(f"{volume.name} and {vm.name} belong to different tenants")

        def work_on(volume: Volume, facts: VolumeFacts) -> Work:
            host = self._inventory.host(volume.host)
            return lambda run: self._attaching.attach(run, host, vm.id, volume.id, facts, body.read_only)

        return await self._changing.on(
            VolumeAction.ATTACH, principal, volume_id, body, key, work_on, check=check, vm=vm
        )

    async def delete(self, principal: Principal, volume_id: str, key: str) -> Operation:
        """Raises Conflict naming who uses it."""

        def work_on(volume: Volume, facts: VolumeFacts) -> Work:
            return lambda run: self._making.delete(run, volume.id, facts.path)

        return await self._changing.on(VolumeAction.DELETE, principal, volume_id, None, key, work_on)

    async def clone(self, principal: Principal, volume_id: str, body: VolumeClone, key: str) -> Operation:
        """Raises Conflict (name taken, no room, in use)."""
        places: list[Pool] = []
        gone: list[VolumeRow | None] = []

        async def check(volume: Volume) -> VolumeRow:
            pool = self._inventory.state.storage.pools_on(volume.host).get(volume.pool)
            if (body.tier and body.tier != volume.tier) or pool is None:
                pool = pool_for(self._inventory, volume.host, body.tier or "hot")
            gone.append(await vacant(self._inventory, principal, pool, body.name))
            check_room(pool, volume.allocated_bytes, body.name)
            places.append(pool)
            facts = self._inventory.state.storage.facts(volume)
            return self._row(principal, pool, body.name, image_format(facts) if facts else None)

        def work_on(volume: Volume, facts: VolumeFacts) -> Work:
            host, pool = self._inventory.host(volume.host), places[0]
            return lambda run: self._making.clone(run, host, facts, pool.name, pool.path, body.name)

        return await self._changing.on(
            VolumeAction.CLONE, principal, volume_id, body, key, work_on, check=check, may_cancel=True, gone=gone
        )

    async def _finish_deletion(self, stored: Stored, _run: OperationContext) -> str:
        return await self._making.delete_again(stored)

    def _pool(self, principal: Principal, body: VolumeCreate) -> Pool:
        if body.pool is None:
            return pool_for(self._inventory, self._inventory.require_host_up(body.host).host_id, body.tier)
        pool = next((pool for pool in self._inventory.pools(principal) if pool.id == body.pool), None)
        if pool is None:
            raise errors.NotFound("there is no such pool")
        if pool.type not in FILE_POOLS or not pool.active or pool.tier is None:
            raise errors.Conflict(f"{pool.name} takes no volumes: it is off, in no tier, or no directory")
        return pool

    @staticmethod
    def _row(principal: Principal, pool: Pool, name: str, image: str | None) -> VolumeRow:
        return VolumeRow(
            id=str(uuid4()),
            host_id=pool.host,
            pool=pool.name,
            name=name,
            tenant=principal.tenant,
            owner=principal.username,
            tier=pool.tier,
            format=image,
            created_at=datetime.now(UTC),
        )
