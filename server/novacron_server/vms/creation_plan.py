"""The plan of a new VM: everything that is decided before anything is created."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from novacron_core import errors
from novacron_core.api.problem import FieldError
from novacron_core.api.vms import VMCreate
from novacron_core.values.roles import Permission
from novacron_core.values.sizes import size_text
from novacron_server.http.asked import asker_may
from novacron_server.hypervisor.facts import HostFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import PoolSpec, VolumeSpec
from novacron_server.images.service import ImageFile, Images
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.subjects import host_word
from novacron_server.pools.managed import ManagedPools
from novacron_server.volumes.placement import check_room, choose_pool_for_vm


@dataclass(frozen=True, slots=True)
class CreationPlan:
    """`pool` is the name of the disks' pool; if it is `managed_pool`, that is created first. Sizes are in bytes."""

    vm_id: str
    name: str
    body: VMCreate
    host: LibvirtHost
    image: ImageFile
    pool: str
    managed_pool: PoolSpec
    disk_bytes: int
    network: str

    def volume_name(self, role: str) -> str:
        """A name like `web-01-1a2b3c4d.qcow2`: readable, and never that of an earlier VM's disk."""
        return f"{self.name}-{self.vm_id[:8]}.{role}"

    @property
    def volumes(self) -> dict[str, VolumeSpec]:
        """The volumes to create, by role: the disk, and the files of a direct boot. No other VM uses them."""
        image_format = "qcow2" if self.image.image.format == "qcow2" else "raw"
        disk = VolumeSpec(
            pool=self.pool,
            name=self.volume_name(image_format),
            size_bytes=self.disk_bytes,
            format="qcow2" if image_format == "qcow2" else "raw",
        )
        volumes = {"disk": disk}
        for role, path in (("kernel", self.image.kernel), ("initrd", self.image.initrd)):
            if path is not None:
                size = self._file_size_bytes(path)
                volumes[role] = VolumeSpec(pool=self.pool, name=self.volume_name(role), size_bytes=size, format="raw")
        return volumes

    @property
    def copied_bytes(self) -> dict[str, int]:
        """The most bytes that are copied into the pool, by role. Reads the files' sizes. Raises Conflict."""
        return {role: self._file_size_bytes(self.source(role)) for role in self.volumes}

    def _file_size_bytes(self, path: Path) -> int:
        """Raises Conflict when the file was deleted after the image was found."""
        try:
            return path.stat().st_size
        except FileNotFoundError:
            raise errors.Conflict(f"the image {self.image.image.name} has been deleted") from None

    def source(self, role: str) -> Path:
        """The file on the server that a volume is copied from."""
        path = {"disk": self.image.path, "kernel": self.image.kernel, "initrd": self.image.initrd}[role]
        if path is None:
            raise errors.Internal(f"the image has no {role}")
        return path


class Planner:
    """Plans new VMs, for the service that checks a request and for the procedure that carries it out."""

    def __init__(self, inventory: Inventory, images: Images, managed_pools: ManagedPools) -> None:
        self._inventory = inventory
        self._images = images
        self._managed_pools = managed_pools

    async def plan(self, vm_id: str, name: str, host: LibvirtHost, body: VMCreate, *, pool: str = "") -> CreationPlan:
        """Plan a VM. `pool` is the pool chosen earlier; empty: choose one now and check that the disks fit.

        Raises ValidationFailed naming the field, NotFound (image), Conflict (no room), HostUnavailable.
        """
        image = await self._images.get(body.image)
        disk_bytes, network = _check(body, host, image)
        managed_pool = self._managed_pools.pool(host, body.tier)
        chosen = pool or choose_pool_for_vm(self._inventory, host.host_id, body.tier, managed_pool.name)
        plan = CreationPlan(
            vm_id=vm_id,
            name=name,
            body=body,
            host=host,
            image=image,
            pool=chosen,
            managed_pool=managed_pool,
            disk_bytes=disk_bytes,
            network=network,
        )
        target = self._inventory.state.storage.pools_on(host.host_id).get(plan.pool)
        if target is not None and not pool and not host.simulated:
            await check_room(self._inventory, target, sum(plan.copied_bytes.values()), plan.name)
        return plan


def _check(body: VMCreate, host: LibvirtHost, image: ImageFile) -> tuple[int, str]:
    """Return (disk size in bytes, network). Raises ValidationFailed naming the field, HostUnavailable."""
    facts = host.facts
    if facts is None:
        raise errors.HostUnavailable(
            f"{host_word(host.name)} is still being read: try again in a moment", retry_after_s=2
        )
    size = body.disk_bytes or image.image.size_bytes
    if size < image.image.size_bytes:
        _refuse("disk_bytes", f"the image needs at least {size_text(image.image.size_bytes)}")
    if size > image.image.size_bytes and image.why_not_grow:
        amend = f"qemu-img amend -o compat=1.1 {image.path.name}"
        _refuse(
            "disk_bytes",
            f"the image {image.image.name} {image.why_not_grow}. Leave the size out, or run `{amend}` on a copy and"
            " upload that",
        )
    told = asker_may(Permission.HOST_READ)
    if body.memory_bytes > facts.memory_bytes:
        has = f"{host.name} has {size_text(facts.memory_bytes)} in all"
        _refuse("memory_bytes", has if told else "the host has less")
    if not facts.simulated and body.vcpus > 4 * facts.cpus:
        has = f"{host.name} has {facts.cpus} CPUs; the limit is four vCPUs per CPU"
        _refuse("vcpus", has if told else "the limit is four vCPUs per CPU of the host")
    return size, _network(body.network, facts)


def _network(wanted: str | None, facts: HostFacts) -> str:
    if wanted is None:
        return "default" if "default" in facts.networks else "user"
    if wanted != "user" and wanted not in facts.networks:
        active = ", ".join([*facts.networks, "user"])
        choose = f". Choose one of: {active}" if asker_may(Permission.HOST_READ) else ""
        _refuse("network", f"no such active network{choose}")
    return wanted


def _refuse(field: str, message: str) -> None:
    raise errors.ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])
