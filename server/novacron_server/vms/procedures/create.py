"""Create a VM from an image: disks first, the definition last, so that a VM that exists is complete."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_core.api.vms import State, VMCreate
from novacron_core.rules.visibility import Principal
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.database.transactions import Connection, Database
from novacron_server.hypervisor.facts import OwnershipTag, VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import DiskSpec, DomainSpec, NICSpec
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VMRow, VolumeRow
from novacron_server.operations import repository as operations
from novacron_server.operations.context import CompletedAnyway, OperationContext, UndoFinding
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Journal, Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.operations.progress import TransferProgress
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.quotas import repository as quotas
from novacron_server.vms import repository
from novacron_server.vms.creation_plan import CreationPlan, Planner
from novacron_server.vms.procedures.power import why_not_started
from novacron_server.vms.row_events import vm_row_event
from novacron_server.vms.rows import remove_vm
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event

_log = structlog.get_logger()
MAX_CONCURRENT = 4
"""How many VMs are created on a host at a time. The others wait here, before any libvirt call with a timeout."""


class CreateSteps(Steps, frozen=True):
    """`volumes` are the names of the volumes, in `pool`."""

    pool: str = ""
    volumes: list[str] = []
    whole: bool = False
    """The operation did not succeed, but the VM exists and is complete."""


class CreateVM(Procedure[CreateSteps]):
    kind = OperationKind.VM_CREATE
    steps = CreateSteps
    may_cancel = True
    failpoints = ("vm.create:planned", "vm.create:volumes", "vm.create:uploaded", "vm.create:defined")

    def __init__(
        self, database: Database, group_commit: GroupCommit, inventory: Inventory, planner: Planner, instance: str
    ) -> None:
        """`instance` is the installation's UUID, which is written into every domain."""
        self._database = database
        self._group_commit = group_commit
        self._inventory = inventory
        self._planner = planner
        self._instance = instance

    async def run(self, context: OperationContext[CreateSteps]) -> None:
        """Raises the errors of the planner and of the host."""
        body = msgspec.convert(context.request, VMCreate)
        host, name = self._inventory.host(context.host_id), context.operation.target.name
        plan = await self._planner.plan(context.target_id, name, host, body, pool=context.steps.pool)
        await self._run(context, plan)

    async def _run(self, context: OperationContext[CreateSteps], plan: CreationPlan) -> None:
        places = self._inventory.places(plan.host.host_id, MAX_CONCURRENT)
        if places.must_wait(context.operation.tenant):
            await context.report_step("waiting for other creations on this host")
        async with places.hold(context.operation.tenant):
            await self._create(context, plan)

    async def _create(self, context: OperationContext[CreateSteps], plan: CreationPlan) -> None:
        host = plan.host
        await failpoint("vm.create:planned")
        await context.report_step("preparing storage")
        if plan.pool == plan.managed_pool.name:
            try:
                await host.storage.ensure_pool(plan.managed_pool)
            except errors.Conflict:  # no volume was created: none must be looked for in a pool that is not active
                await context.write_ahead(volumes=[])
                raise
        created: dict[str, VolumeFacts] = {}
        for role, spec in plan.volumes.items():
            created[role] = await host.storage.create_volume(spec)
        await failpoint("vm.create:volumes")
        await _upload(context, plan)
        if plan.disk_bytes > plan.image.image.size_bytes and not host.simulated:
            # The upload resized the volume to the size of the image.
            disk = plan.volumes["disk"]
            await host.storage.resize_volume(disk.pool, disk.name, plan.disk_bytes, disk.format)
        await failpoint("vm.create:uploaded")
        await context.forbid_cancel()  # a VM that exists is complete, and is not undone
        await context.report_step("defining the VM")
        console_log = await _place_of_log(host, plan.vm_id)
        await host.define(self._definition(context.operation, plan, created, console_log))
        await failpoint("vm.create:defined")
        await self._inventory.refresh_vm(
            host.host_id, plan.vm_id
        )  # before its volumes, which show the VM that uses them
        await self._inventory.refresh_volumes(host.host_id)
        if plan.body.start:
            await context.report_step("starting the VM")
            await host.start(plan.vm_id)
            facts = await self._inventory.refresh_vm(host.host_id, plan.vm_id)
            if facts is not None and (refused := why_not_started(facts)):
                raise errors.Conflict(refused)

    def _definition(
        self, operation: Operation, plan: CreationPlan, created: dict[str, VolumeFacts], console_log: str
    ) -> DomainSpec:
        disk = plan.volumes["disk"]
        facts = plan.host.facts
        kind = facts.virtualization if facts else "qemu"
        tag = OwnershipTag(instance=self._instance, tenant=operation.tenant or "", operation=operation.id, generation=1)
        return DomainSpec(
            uuid=plan.vm_id,
            name=plan.name,
            vcpus=plan.body.vcpus,
            memory_bytes=plan.body.memory_bytes,
            virtualization="kvm" if kind == "kvm" else "test" if kind == "test" else "qemu",
            disks=(DiskSpec(pool=disk.pool, volume=disk.name, format=disk.format, target="vda"),),
            nics=(NICSpec(network=plan.network),),
            kernel=created["kernel"].path if "kernel" in created else "",
            initrd=created["initrd"].path if "initrd" in created else "",
            cmdline=plan.image.cmdline if "kernel" in created else "",
            description=plan.body.description,
            tag=tag,
            console_log=console_log,
        )

    # -- after a failure or a crash --------------------------------------------------------------------------------

    async def resume(self, context: OperationContext[CreateSteps]) -> str:
        """Create the VM, because its id and rows are committed (G1). Every step can be repeated."""
        host_id, vm_id = context.host_id, context.target_id
        row = self._inventory.state.rows.get((host_id, vm_id))
        host = self._inventory.host(host_id)
        if row is None or await host.read_domain(vm_id) is not None:
            return await self.undo(context.entry)
        body = msgspec.structs.replace(msgspec.convert(context.request, VMCreate), host=host_id)
        try:
            plan = await self._planner.plan(vm_id, row.name, host, body, pool=self._pool_of(context))
            await self.delete_volumes(host, context.steps)  # a partial copy is unusable and has another size
            await context.write_ahead(pool=plan.pool, volumes=[spec.name for spec in plan.volumes.values()])
            await self._run(context, plan)
            await context.write_ahead(whole=True)
        except (errors.HostUnavailable, errors.DatabaseUnavailable):
            raise  # recovery tries again
        except errors.NovaCronError as e:
            return f"it could not be completed ({e.detail}), and {await self.undo(context.entry)}"
        return "the VM was created after the restart"

    def _pool_of(self, context: OperationContext[CreateSteps]) -> str:
        """The pool of the disks: the journal's, or that of the VM's volume rows if an old journal has none."""
        rows = self._inventory.state.storage.volume_rows.values()
        return context.steps.pool or next((row.pool for row in rows if row.vm_id == context.target_id), "")

    async def undo(self, entry: Journal[CreateSteps]) -> str:
        """Remove what an unfinished creation has created, and nothing else. Raises Conflict while the pool is inactive.

        The VM is defined last, when its disks are complete: a domain is kept, whose ever it is by now. And a VM that was
        complete once is, with its disks, no business of this operation any more: it may have been deleted without them.
        """
        host_id, vm_id = entry.host_id, entry.operation.target.id
        host = self._inventory.host(host_id)
        facts = await host.read_domain(vm_id)
        if facts is None and entry.steps.whole:
            await self._refresh(host_id, vm_id)
            return CompletedAnyway("the VM was complete")
        if facts is not None:
            await self._mark(entry, whole=True)
            await self._refresh(host_id, vm_id)
            if bool(entry.request.get("start", True)) and facts.state is State.STOPPED:
                return UndoFinding("the VM is complete, but stopped: start it")
            return CompletedAnyway(f"the VM is complete and {facts.state}")
        await self.delete_volumes(host, entry.steps)  # until that succeeds the rows stay, and reserve the name
        rows = await self._database.run(lambda c: volumes.of_vm(c, host_id, vm_id), read_only=True)
        await remove_vm(self._group_commit, host_id, vm_id, rows)
        await self._refresh(host_id, vm_id)
        return "everything that it had created was removed"

    async def _mark(self, entry: Journal[CreateSteps], **marks: bool) -> None:
        write = lambda: self._database.run(lambda c: operations.mark(c, entry.operation.id, **marks))  # noqa: E731
        await retry_while_database_down("marking what is left", write)

    @staticmethod
    async def delete_volumes(host: LibvirtHost, steps: CreateSteps) -> None:
        """Delete the volumes that a creation has begun to create; no other volume has their names."""
        for name in steps.volumes:
            await host.storage.delete_volume(steps.pool, name, undo=True)

    async def _refresh(self, host_id: str, vm_id: str) -> None:
        await self._inventory.refresh_vm(host_id, vm_id)
        await self._inventory.refresh_volumes(host_id)


async def _place_of_log(host: LibvirtHost, vm_id: str) -> str:
    """The path of a new VM's console log, empty for none: where it cannot be limited, or an earlier VM's cannot be removed."""
    place = await host.console_logs.place(vm_id)
    left = await host.console_logs.remove(vm_id) if place.path else ""
    if left or place.reason:
        _log.warning("the serial console of a new VM is not logged", vm=vm_id, reason=left or place.reason)
    return "" if left else place.path


def initial_steps(plan: CreationPlan) -> CreateSteps:
    """Return the journal that a creation begins with. Reads the image's files."""
    return CreateSteps(pool=plan.pool, volumes=[spec.name for spec in plan.volumes.values()])


async def write_rows(
    connection: Connection, operation: Operation, plan: CreationPlan, principal: Principal
) -> list[EventDraft]:
    """Insert the rows of a new VM in its operation's transaction, and return their events.

    Raises NameTaken, QuotaExceeded.
    """
    now = datetime.now(UTC)
    demand = quotas.Demand(
        vms=1,
        vcpus=plan.body.vcpus,
        memory_bytes=plan.body.memory_bytes,
        disk_bytes={plan.body.tier: sum(spec.size_bytes for spec in plan.volumes.values())},
    )
    await quotas.check(connection, principal.tenant, demand, operation_id=operation.id)
    row = VMRow(
        id=plan.vm_id,
        host_id=plan.host.host_id,
        name=plan.name,
        tenant=principal.tenant,
        owner=principal.username,
        tags=plan.body.tags,
        tier=plan.body.tier,
        description=plan.body.description,
        spec=msgspec.to_builtins(plan.body),
        created_at=now,
        updated_at=now,
    )
    await repository.add(connection, row)
    drafts = [vm_row_event(row, "vm.created")]
    for spec in plan.volumes.values():
        volume = VolumeRow(
            id=str(uuid4()),
            host_id=row.host_id,
            pool=spec.pool,
            name=spec.name,
            tenant=row.tenant,
            owner=row.owner,
            tier=plan.body.tier,
            vm_id=row.id,
            format=spec.format,
            created_at=now,
            size_bytes=spec.size_bytes,
        )
        await volumes.add(connection, volume)
        drafts.append(volume_row_event(volume))
    return drafts


async def _upload(context: OperationContext[CreateSteps], plan: CreationPlan) -> None:
    sizes = plan.copied_bytes
    total, done = sum(sizes.values()), 0
    await context.report_step(f"copying the image {plan.image.image.name}")
    for role, spec in plan.volumes.items():
        async with TransferProgress(context, done, total) as progress:
            await plan.host.storage.upload_volume(
                spec.pool, spec.name, plan.source(role), progress, tenant=context.operation.tenant
            )
        done += sizes[role]
    if await asyncio.to_thread(plan.image.has_changed):
        raise errors.Conflict(f"the image {plan.image.image.name} was written to while it was copied: try again")
