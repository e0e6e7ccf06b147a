"""Making a VM from an image: disks first, the definition last, so that a VM that exists is a whole one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_core.api.problem import FieldError
from novacron_core.api.vms import VMCreate
from novacron_core.rules.visibility import Principal
from novacron_core.values.sizes import size_text
from novacron_server.database.transactions import Connection
from novacron_server.hypervisor.facts import HostFacts, OwnershipTag, VolumeFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import DiskSpec, DomainSpec, NICSpec, PoolSpec, VolumeSpec
from novacron_server.images.service import ImageFile
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import VMRow, VolumeRow
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.progress import TransferProgress
from novacron_server.outbox.records import EventDraft
from novacron_server.vms import repository
from novacron_server.vms.removal import vm_row_event
from novacron_server.volumes import repository as volumes
from novacron_server.volumes.row_events import volume_row_event


@dataclass(frozen=True, slots=True)
class CreationPlan:
    """Everything decided before the first thing is made. `pool` is the disks'; `own_pool` is made when it is that one."""

    vm_id: str
    name: str
    body: VMCreate
    host: LibvirtHost
    image: ImageFile
    pool: str
    own_pool: PoolSpec
    instance: str
    disk_bytes: int
    network: str
    principal: Principal

    def volume_name(self, part: str) -> str:
        """`web-01-1a2b3c4d.qcow2`: readable, and never the name of an earlier VM's disk."""
        return f"{self.name}-{self.vm_id[:8]}.{part}"

    @property
    def parts(self) -> dict[str, VolumeSpec]:
        """The volumes to make: the disk, and the files of a direct boot. They are one VM's own and go with it."""
        image_format = "qcow2" if self.image.image.format == "qcow2" else "raw"
        disk = VolumeSpec(
            pool=self.pool,
            name=self.volume_name(image_format),
            size_bytes=self.disk_bytes,
            format="qcow2" if image_format == "qcow2" else "raw",
        )
        parts = {"disk": disk}
        for part, path in (("kernel", self.image.kernel), ("initrd", self.image.initrd)):
            if path is not None:
                size = self._length(path)
                parts[part] = VolumeSpec(pool=self.pool, name=self.volume_name(part), size_bytes=size, format="raw")
        return parts

    @property
    def copied_bytes(self) -> dict[str, int]:
        """What is copied into the pool for each part, at most. Looks at the files."""
        return {part: self._length(self.source(part)) for part in self.parts}

    def _length(self, path: Path) -> int:
        """Raises Conflict when it was removed since the image was looked for."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            raise errors.Conflict(f"the image {self.image.image.name} was removed meanwhile") from None

    def source(self, part: str) -> Path:
        """The file on the server that a part is copied from."""
        path = {"disk": self.image.path, "kernel": self.image.kernel, "initrd": self.image.initrd}[part]
        if path is None:
            raise errors.Internal(f"the image has no {part}")
        return path


def check(body: VMCreate, host: LibvirtHost, image: ImageFile) -> tuple[int, str]:
    """(disk size, network) for this request. Raises ValidationFailed naming the field."""
    facts = host.facts
    if facts is None:
        raise errors.HostUnavailable(f"{host.name} has not told what it is yet", retry_after_s=2)
    size = body.disk_bytes or image.image.size_bytes
    if size < image.image.size_bytes:
        _refuse("disk_bytes", f"the image needs at least {size_text(image.image.size_bytes)}")
    if body.memory_bytes > facts.memory_bytes:
        _refuse("memory_bytes", f"{host.name} has {size_text(facts.memory_bytes)} in all")
    if not facts.simulated and body.vcpus > 4 * facts.cpus:
        _refuse("vcpus", f"{host.name} has {facts.cpus} CPUs; at most four times as many")
    return size, _network(body.network, facts)


def _network(wanted: str | None, facts: HostFacts) -> str:
    if wanted is None:
        return "default" if "default" in facts.networks else "user"
    if wanted != "user" and wanted not in facts.networks:
        active = ", ".join([*facts.networks, "user"])
        _refuse("network", f"there is no such active network here: {active}")
    return wanted


def _refuse(field: str, message: str) -> None:
    raise errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])


async def write_rows(connection: Connection, plan: CreationPlan) -> list[EventDraft]:
    """The rows of a VM to come, in its operation's transaction. Raises Conflict when the name is taken."""
    now = datetime.now(UTC)
    row = VMRow(
        id=plan.vm_id,
        host_id=plan.host.host_id,
        name=plan.name,
        tenant=plan.principal.tenant,
        owner=plan.principal.username,
        tags=plan.body.tags,
        tier=plan.body.tier,
        description=plan.body.description,
        spec=msgspec.to_builtins(plan.body),
        created_at=now,
        updated_at=now,
    )
    await repository.add(connection, row)
    drafts = [vm_row_event(row, "vm.created")]
    for spec in plan.parts.values():
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
        )
        await volumes.add(connection, volume)
        drafts.append(volume_row_event(volume))
    return drafts


AT_ONCE = 4
"""VMs that are made on a host at the same time; more wait for their turn here, where no deadline of the host counts."""


async def make(run: OperationContext, plan: CreationPlan, inventory: Inventory) -> None:
    """Do it, when it is its turn. Raises what the host refuses."""
    turn = inventory.turn(plan.host.host_id, AT_ONCE)
    if turn.locked():
        await run.report_step("waiting for its turn")
    async with turn:
        await _make(run, plan, inventory)


async def _make(run: OperationContext, plan: CreationPlan, inventory: Inventory) -> None:
    """What it makes is written ahead; on failure the runner undoes that."""
    host = plan.host
    await run.write_ahead(pool=plan.pool, volumes=[spec.name for spec in plan.parts.values()])
    await failpoint("vm.create:planned")
    await run.report_step("preparing storage")
    if plan.pool == plan.own_pool.name:
        await host.storage.ensure_pool(plan.own_pool)
    made: dict[str, VolumeFacts] = {}
    for part, spec in plan.parts.items():
        made[part] = await host.storage.create_volume(spec)
    await failpoint("vm.create:volumes")
    await _upload(run, plan)
    if plan.disk_bytes > plan.image.image.size_bytes and not host.simulated:
        # The upload made the volume as large as the image.
        disk = plan.parts["disk"]
        await host.storage.resize_volume(disk.pool, disk.name, plan.disk_bytes, disk.format)
    await failpoint("vm.create:uploaded")
    await run.forbid_cancel()  # a VM that is there is whole, and is not taken back
    await run.report_step("defining the VM")
    await host.define(_definition(run.operation, plan, made))
    await failpoint("vm.create:defined")
    await inventory.refresh_vm(host.host_id, plan.vm_id)  # before its volumes, which show whose disks they are
    await inventory.refresh_volumes(host.host_id)
    if plan.body.start:
        await run.report_step("starting the VM")
        await host.start(plan.vm_id)
        await inventory.refresh_vm(host.host_id, plan.vm_id)


async def _upload(run: OperationContext, plan: CreationPlan) -> None:
    sizes = plan.copied_bytes
    total, done = sum(sizes.values()), 0
    await run.report_step(f"copying the image {plan.image.image.name}")
    for part, spec in plan.parts.items():
        async with TransferProgress(run, done, total) as progress:
            await plan.host.storage.upload_volume(spec.pool, spec.name, plan.source(part), progress)
        done += sizes[part]


def _definition(operation: Operation, plan: CreationPlan, made: dict[str, VolumeFacts]) -> DomainSpec:
    disk = plan.parts["disk"]
    facts = plan.host.facts
    kind = facts.virtualization if facts else "qemu"
    return DomainSpec(
        uuid=plan.vm_id,
        name=plan.name,
        vcpus=plan.body.vcpus,
        memory_bytes=plan.body.memory_bytes,
        virtualization="kvm" if kind == "kvm" else "test" if kind == "test" else "qemu",
        disks=(DiskSpec(pool=disk.pool, volume=disk.name, format=disk.format, target="vda"),),
        nics=(NICSpec(network=plan.network),),
        kernel=made["kernel"].path if "kernel" in made else "",
        initrd=made["initrd"].path if "initrd" in made else "",
        cmdline=plan.image.cmdline if "kernel" in made else "",
        description=plan.body.description,
        tag=OwnershipTag(instance=plan.instance, tenant=plan.principal.tenant, operation=operation.id, generation=1),
    )
