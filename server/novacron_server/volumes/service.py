"""Checks and submits changes of volumes."""

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
from novacron_core.api.vms import VM, State
from novacron_core.api.volumes import (
    DeletionPreview,
    Volume,
    VolumeAttach,
    VolumeClone,
    VolumeCreate,
    VolumeMove,
    VolumeResize,
)
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.volumes import volume_fields
from novacron_core.rules.visibility import Principal
from novacron_core.rules.volume_actions import VolumeAction
from novacron_core.values.names import name_in_tenant
from novacron_core.values.operation_kinds import OperationKind
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import FILE_POOLS, LOGICAL
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.specs import image_format
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VolumeRow
from novacron_server.inventory.subjects import host_names
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Submission
from novacron_server.volumes.changes import Decision, VolumeChanges, why_not_backing_file
from novacron_server.volumes.growth import check_growth
from novacron_server.volumes.placement import check_block_volume, check_room, choose_pool, find_stale_row
from novacron_server.volumes.procedures.create import CloneVolumeSteps, CreateVolumeSteps
from novacron_server.volumes.procedures.delete import DeleteVolumeSteps
from novacron_server.volumes.procedures.disk_change import DiskSteps
from novacron_server.volumes.procedures.move import Move, MoveSteps, why_not_copy_running, why_not_move
from novacron_server.volumes.rows import add_volume
from novacron_server.volumes.users import overlays


class Volumes:
    """The service for volumes. Every method checks what the principal may see."""

    def __init__(self, inventory: Inventory, operations: Operations) -> None:
        self._inventory = inventory
        self._operations = operations
        self._changes = VolumeChanges(inventory, operations)

    # -- reading ---------------------------------------------------------------------------------------------------

    def list(self, principal: Principal, q: str = "") -> Iterator[Volume]:
        """The volumes that match the filter `q`. Raises ValidationFailed when it is invalid."""
        volumes = self._inventory.volumes(principal)
        if not q:
            return volumes
        vms = {vm.id: vm.name for vm in self._inventory.vms(principal)}
        try:
            test = compile_filter(q, volume_fields(host_names(principal, self._inventory.state), vms))
        except FilterError as e:
            raise errors.ValidationFailed(f"q: {e}", fields=[FieldError(field="q", message=str(e))]) from e
        return filter(test, volumes)

    def get(self, principal: Principal, volume_id: str) -> Volume:
        """Raises NotFound."""
        return self._inventory.volume(principal, volume_id)

    def deletion(self, principal: Principal, volume_id: str) -> DeletionPreview:
        """What deleting the volume would do, and whether it is allowed now. Raises NotFound."""
        volume = self.get(principal, volume_id)
        vm = self._changes.vm_of(principal, volume)
        found = overlays(self._inventory, principal, volume)
        refused = self._changes.why_not(VolumeAction.DELETE, volume, vm) or ""
        if found and not refused:
            refused = why_not_backing_file(volume, found)
        used_by = [vm.name] if vm else ["another user's VM"] if volume.vm else []
        return DeletionPreview(
            volume=volume, frees_bytes=volume.allocated_bytes, used_by=used_by, overlays=found, refused=refused
        )

    # -- changing --------------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, body: VolumeCreate, key: str) -> Operation:
        """Raises Conflict (name taken, no room, no pool), NotFound (pool, host), HostUnavailable."""
        request: dict[str, Any] = msgspec.to_builtins(body)

        async def decide() -> Submission[CreateVolumeSteps]:
            pool = self._pool(principal, body)
            self._inventory.require_host_up(pool.host)
            name = name_in_tenant(body.name, principal.tenant)
            check_block_volume(pool, name, body.format)
            stale = await find_stale_row(self._inventory, principal, pool, name)
            await check_room(self._inventory, pool, body.size_bytes, name)
            row = _row(principal.tenant, principal.username, pool, name, body.format, body.size_bytes)
            return Submission(
                target=Target(type="volume", id=row.id, name=row.name),
                host_id=pool.host,
                tenant=row.tenant,
                steps=CreateVolumeSteps(made=row.id, pool=pool.name, path=f"{pool.path}/{name}"),
                rows=lambda connection, operation: add_volume(connection, operation, row, stale),
            )

        return await self._operations.submit(OperationKind.VOLUME_CREATE, principal, key, request, decide)

    async def resize(self, principal: Principal, volume_id: str, body: VolumeResize, key: str) -> Operation:
        """Raises ValidationFailed (smaller), Conflict (no room, busy, the format cannot grow), Unsupported."""

        async def decide(volume: Volume, facts: VolumeFacts, _vm: VM | None) -> Decision:
            if body.size_bytes <= volume.size_bytes:
                message = f"{volume.name} has {size_text(volume.size_bytes)} already: it can only grow"
                raise errors.ValidationFailed(message, fields=[FieldError(field="size_bytes", message=message)])
            await check_growth(self._inventory.host(volume.host), volume.name, facts)
            pool = self._inventory.state.storage.pools_on(volume.host).get(volume.pool)
            if pool:
                await check_room(self._inventory, pool, body.size_bytes - volume.size_bytes, f"growing {volume.name}")
            return Decision(steps=_disk_steps(facts, volume.vm), size_bytes=body.size_bytes)

        return await self._changes.submit(VolumeAction.RESIZE, principal, volume_id, body, key, decide)

    async def detach(self, principal: Principal, volume_id: str, key: str) -> Operation:
        """Raises Conflict with the reason why it is refused."""

        async def decide(volume: Volume, facts: VolumeFacts, _vm: VM | None) -> Decision:
            return Decision(steps=_disk_steps(facts, volume.vm))

        return await self._changes.submit(VolumeAction.DETACH, principal, volume_id, None, key, decide)

    async def attach(self, principal: Principal, volume_id: str, body: VolumeAttach, key: str) -> Operation:
        """Raises NotFound (VM), Conflict with the reason why it is refused."""

        async def decide(volume: Volume, facts: VolumeFacts, vm: VM | None) -> Decision:
            if vm is None or volume.tenant != vm.tenant:
                raise errors.Conflict(f"{volume.name} and {vm.name if vm else body.vm} belong to different tenants")
            return Decision(steps=_disk_steps(facts, vm.id))

        return await self._changes.submit(VolumeAction.ATTACH, principal, volume_id, body, key, decide, to_vm=body.vm)

    async def delete(self, principal: Principal, volume_id: str, key: str) -> Operation:
        """Raises Conflict naming the VM that uses it."""

        async def decide(_volume: Volume, facts: VolumeFacts, _vm: VM | None) -> Decision:
            return Decision(steps=DeleteVolumeSteps(path=facts.path))

        return await self._changes.submit(VolumeAction.DELETE, principal, volume_id, None, key, decide)

    async def clone(self, principal: Principal, volume_id: str, body: VolumeClone, key: str) -> Operation:
        """The copy stays in the tenant of the volume, also when an administrator of another one makes it; what is of none
        is copied into that of who asks. Raises Conflict (name taken, no room, in use)."""

        async def decide(volume: Volume, facts: VolumeFacts, _vm: VM | None) -> Decision:
            pool = self._inventory.state.storage.pools_on(volume.host).get(volume.pool)
            if (body.tier and body.tier != volume.tier) or pool is None:
                pool = choose_pool(self._inventory, volume.host, body.tier or "hot")
            tenant, owner = volume.tenant or principal.tenant, principal.username
            if tenant != principal.tenant:
                owner = volume.owner or owner
            name = name_in_tenant(body.name, tenant)
            stale = await find_stale_row(self._inventory, principal, pool, name)
            await check_room(self._inventory, pool, volume.allocated_bytes, name)
            row = _row(tenant, owner, pool, name, image_format(facts), volume.size_bytes)
            steps = CloneVolumeSteps(
                made=row.id,
                pool=pool.name,
                path=f"{pool.path}/{name}",
                source_pool=facts.pool,
                source_name=facts.name,
                source_format=facts.format,
            )
            return Decision(steps=steps, created=row, stale=[stale])

        return await self._changes.submit(VolumeAction.CLONE, principal, volume_id, body, key, decide)

    async def move(self, principal: Principal, volume_id: str, body: VolumeMove, key: str) -> Operation:
        """Raises Conflict with the reason it cannot be moved now, Unsupported, HostUnavailable."""

        async def decide(volume: Volume, facts: VolumeFacts, vm: VM | None) -> Decision:
            if refused := why_not_copy_running(
                facts, runs=vm is not None and vm.state in (State.RUNNING, State.PAUSED)
            ):
                raise errors.Conflict(refused)
            pool = choose_pool(self._inventory, volume.host, body.tier, exclude=volume.pool)
            stale = await find_stale_row(self._inventory, principal, pool, volume.name)
            await check_room(self._inventory, pool, volume.allocated_bytes, volume.name)
            move = Move(
                volume_id=volume.id,
                name=volume.name,
                from_pool=volume.pool,
                from_path=facts.path,
                to_pool=pool.name,
                to_path=f"{pool.path}/{volume.name}",
                tier=body.tier,
                from_tier=volume.tier,
                vm_id=volume.vm,
                bandwidth_bytes_s=body.bandwidth_bytes_s or 0,
                format=facts.format,
            )
            return Decision(steps=MoveSteps(move=move), stale=[stale], tier=body.tier)

        return await self._changes.submit(
            VolumeAction.MOVE, principal, volume_id, body, key, decide, why_not=why_not_move, to_tier=body.tier
        )

    def _pool(self, principal: Principal, body: VolumeCreate) -> Pool:
        if body.pool is None:
            host_id = self._inventory.require_host_up(body.host).host_id
            return choose_pool(self._inventory, host_id, body.tier, block=body.format == "raw")
        seen = any(pool.id == body.pool for pool in self._inventory.pools(principal))
        pool = self._inventory.state.storage.pool(body.pool) if seen else None
        if pool is None:
            raise errors.NotFound("pool not found")
        if pool.type not in (*FILE_POOLS, LOGICAL) or not pool.active or pool.tier is None:
            raise errors.Conflict(
                f"{pool.name} cannot hold volumes: it is inactive, in no tier, or not of type dir, fs, netfs or logical"
            )
        return pool


def _row(tenant: str, owner: str, pool: Pool, name: str, image: str | None, size_bytes: int) -> VolumeRow:
    return VolumeRow(
        id=str(uuid4()),
        host_id=pool.host,
        pool=pool.name,
        name=name,
        tenant=tenant,
        owner=owner,
        tier=pool.tier,
        format=image,
        created_at=datetime.now(UTC),
        size_bytes=size_bytes,
    )


def _disk_steps(facts: VolumeFacts, vm_id: str | None) -> DiskSteps:
    return DiskSteps(pool=facts.pool, name=facts.name, format=facts.format, vm=vm_id)
