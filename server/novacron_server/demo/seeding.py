"""Creates the simulated fleet on an empty database: node files for libvirt's test driver, and the rows of its VMs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5
from xml.etree import ElementTree as ET

from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TIERS, TierName
from novacron_server.database import repository as database_repository
from novacron_server.database.migrate import migrate
from novacron_server.database.transactions import Connection, Database
from novacron_server.demo import repository
from novacron_server.demo.fleet import HOSTS, SimulatedVM, fleet
from novacron_server.hosts import repository as hosts_repository
from novacron_server.hypervisor.facts import OwnershipTag
from novacron_server.hypervisor.specs import PoolSpec, mac_for
from novacron_server.hypervisor.xml.metadata import tag_element
from novacron_server.inventory.rows import HostRow, VMRow, VolumeRow
from novacron_server.pools.managed import ManagedPools

TENANT = "default"
_STATES = {"running": "1", "paused": "3", "stopped": "5"}
"""libvirt's virDomainState."""
_TEST = "http://libvirt.org/schemas/domain/test/1.0"
ET.register_namespace("test", _TEST)


async def seed(data_dir: Path, owner_url: str, app_url: str, count: int) -> list[str]:
    """Create a fleet of `count` VMs in a data directory that has none. Returns the URIs of its hosts.

    Raises DatabaseUnavailable, OSError.
    """
    await migrate(owner_url, app_url)
    vms = fleet(count, datetime.now(UTC))
    files = {name: data_dir / f"{name}.xml" for name in HOSTS}
    uris = {name: f"test://{path}" for name, path in files.items()}
    if all(path.exists() for path in files.values()):
        return list(uris.values())
    nodes: dict[str, str] = {}
    database = Database(app_url, kind="embedded")

    async def add_rows(connection: Connection) -> None:
        instance = await database_repository.instance(connection)
        managed = ManagedPools(instance, data_dir)
        for name in HOSTS:
            host = await hosts_repository.get_or_create(connection, uris[name])
            pools = {tier: managed.simulated_pool(host.id, tier) for tier in TIERS}
            on_host = [vm for vm in vms if vm.host == name]
            await repository.add_all(
                connection,
                [_vm_row(vm, host) for vm in on_host],
                [_volume_row(vm, host, pools[vm.tier]) for vm in on_host],
            )
            nodes[name] = _node(on_host, pools, instance)

    try:
        await database.run(add_rows, timeout_s=60.0)
    finally:
        await database.close()
    for name, text in nodes.items():
        files[name].write_text(text, encoding="utf-8")
    return list(uris.values())


def _vm_row(vm: SimulatedVM, host: HostRow) -> VMRow:
    return VMRow(
        id=vm.id,
        host_id=host.id,
        name=vm.name,
        tenant=TENANT,
        owner=vm.owner,
        tags=vm.tags,
        tier=vm.tier,
        description=vm.description,
        created_at=vm.created_at,
        updated_at=vm.created_at,
    )


def _volume_row(vm: SimulatedVM, host: HostRow, pool: PoolSpec) -> VolumeRow:
    return VolumeRow(
        id=str(uuid5(UUID(pool.uuid), vm.disk)),
        host_id=host.id,
        pool=pool.name,
        name=vm.disk,
        tenant=TENANT,
        owner=vm.owner,
        tier=vm.tier,
        vm_id=vm.id,
        format="qcow2",
        created_at=vm.created_at,
    )


def _node(vms: list[SimulatedVM], pools: Mapping[TierName, PoolSpec], instance: UUID) -> str:
    """A host with room for these VMs, as libvirt's test driver reads it."""
    node = ET.Element("node")
    cpu = ET.SubElement(node, "cpu")
    cpus = max(32, 16 * -(-sum(vm.vcpus for vm in vms) * 2 // 5 // 16))
    # The test driver counts its CPUs by these, 16 without them: `active` alone cannot be more.
    counts = {"nodes": 1, "sockets": 2, "cores": cpus // 4, "threads": 2, "active": cpus}
    for key, value in {"mhz": 2900, "model": "x86_64", **counts}.items():
        ET.SubElement(cpu, key).text = str(value)
    memory_gib = max(64, 64 * -(-sum(vm.memory_bytes for vm in vms) * 5 // 4 // GIB // 64))
    ET.SubElement(node, "memory").text = str(memory_gib * GIB // 1024)
    network = ET.SubElement(node, "network")
    ET.SubElement(network, "name").text = "default"
    ET.SubElement(network, "bridge", name="virbr0")
    ET.SubElement(network, "forward")
    ET.SubElement(network, "ip", address="192.168.122.1", netmask="255.255.255.0")
    for tier, pool in pools.items():
        node.append(_pool(pool, (vm for vm in vms if vm.tier == tier)))
    for vm in vms:
        node.append(_domain(vm, pools[vm.tier], instance))
    return ET.tostring(node, encoding="unicode")


def _pool(spec: PoolSpec, vms: Iterable[SimulatedVM]) -> ET.Element:
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = spec.name
    ET.SubElement(pool, "uuid").text = spec.uuid
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = spec.path
    for vm in vms:
        volume = ET.SubElement(pool, "volume", type="file")
        ET.SubElement(volume, "name").text = vm.disk
        ET.SubElement(volume, "capacity").text = str(vm.disk_bytes)
        ET.SubElement(volume, "allocation").text = str(vm.allocated_bytes)
        target = ET.SubElement(volume, "target")
        ET.SubElement(target, "path").text = f"{spec.path}/{vm.disk}"
        ET.SubElement(target, "format", type="qcow2")
    return pool


def _domain(vm: SimulatedVM, pool: PoolSpec, instance: UUID) -> ET.Element:
    operation = str(uuid5(NAMESPACE_URL, f"novacron-demo:{vm.id}"))
    tag = OwnershipTag(instance=str(instance), tenant=TENANT, operation=operation, generation=1)
    domain = ET.Element("domain", type="test")
    ET.SubElement(domain, "name").text = vm.name
    ET.SubElement(domain, "uuid").text = vm.id
    ET.SubElement(domain, "metadata").append(tag_element(tag))
    ET.SubElement(domain, "description").text = vm.description
    ET.SubElement(domain, "memory", unit="b").text = str(vm.memory_bytes)
    ET.SubElement(domain, "vcpu").text = str(vm.vcpus)
    ET.SubElement(ET.SubElement(domain, "os"), "type", arch="x86_64").text = "hvm"
    devices = ET.SubElement(domain, "devices")
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="qcow2")
    ET.SubElement(disk, "source", file=f"{pool.path}/{vm.disk}")
    ET.SubElement(disk, "target", dev="vda", bus="virtio")
    nic = ET.SubElement(devices, "interface", type="network")
    ET.SubElement(nic, "mac", address=mac_for(vm.id, 0))
    ET.SubElement(nic, "source", network="default")
    ET.SubElement(nic, "model", type="virtio")
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    ET.SubElement(balloon, "stats", period="5")
    ET.SubElement(domain, f"{{{_TEST}}}runstate").text = _STATES[vm.state]
    return domain
