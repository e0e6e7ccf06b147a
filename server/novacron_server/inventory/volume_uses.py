"""Finds the VM that uses each volume of a host, and as what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from novacron_core.rules.volume_actions import BACKING_FILE
from novacron_server.hypervisor.facts import DiskFacts, DomainFacts, PoolFacts, VolumeFacts
from novacron_server.inventory.compose_storage import VolumeUse
from novacron_server.inventory.storage_changes import VolumeKey


def find_uses(
    domains: Mapping[str, DomainFacts], volumes: Mapping[VolumeKey, VolumeFacts], pools: Iterable[PoolFacts]
) -> dict[VolumeKey, VolumeUse]:
    """The uses of one host's volumes. `domains` are its VMs by id."""
    by_path = {facts.path: key for key, facts in volumes.items()}
    uses: dict[VolumeKey, VolumeUse] = {}
    for vm_id, domain in domains.items():
        for part, path in (("kernel", domain.kernel), ("initrd", domain.initrd)):
            if path in by_path:
                uses[by_path[path]] = VolumeUse(vm_id, part)
        uses |= _disk_uses(vm_id, domain.disks)
        for key, use in _disk_uses(vm_id, domain.later_disks).items():
            uses.setdefault(key, use)  # attached at the VM's next start; a VM that has it now takes precedence
    for key, use in _backing_uses(domains, volumes, by_path, uses).items():
        uses.setdefault(key, use)
    return _with_aliases(uses, pools)


def _disk_uses(vm_id: str, disks: Iterable[DiskFacts]) -> dict[VolumeKey, VolumeUse]:
    return {(disk.pool, disk.volume): VolumeUse(vm_id, "disk", disk.target) for disk in disks if disk.volume}


def _backing_uses(
    domains: Mapping[str, DomainFacts],
    volumes: Mapping[VolumeKey, VolumeFacts],
    by_path: Mapping[str, VolumeKey],
    uses: Mapping[VolumeKey, VolumeUse],
) -> dict[VolumeKey, VolumeUse]:
    """The uses of volumes as backing files of one VM's disks: of overlays that others have made of them. A base of
    several VMs belongs to none."""
    chains = [(use, _chain(key, volumes, by_path)) for key, use in uses.items() if use.role == "disk"]
    for vm_id, domain in domains.items():
        chains += [(VolumeUse(vm_id, "disk", disk.target), disk.backing_file) for disk in domain.disks]
    found: dict[VolumeKey, set[VolumeUse]] = {}
    for use, paths in chains:
        for path in paths:
            if path in by_path:
                found.setdefault(by_path[path], set()).add(VolumeUse(use.vm_id, BACKING_FILE, use.target))
    return {key: next(iter(users)) for key, users in found.items() if len({use.vm_id for use in users}) == 1}


def _chain(
    key: VolumeKey, volumes: Mapping[VolumeKey, VolumeFacts], by_path: Mapping[str, VolumeKey]
) -> tuple[str, ...]:
    """The backing files of a volume, by the headers that libvirt has read."""
    paths: list[str] = []
    facts = volumes.get(key)
    while facts is not None and facts.backing_file and facts.backing_file not in paths:
        paths.append(facts.backing_file)
        facts = volumes.get(by_path.get(facts.backing_file, ("", "")))
    return tuple(paths)


def _with_aliases(uses: Mapping[VolumeKey, VolumeUse], pools: Iterable[PoolFacts]) -> dict[VolumeKey, VolumeUse]:
    """The uses of the same files under other names: pools that have the same directory."""
    pools_of: dict[str, list[str]] = {}
    for facts in pools:
        if facts.directory:
            pools_of.setdefault(facts.directory, []).append(facts.name)
    aliases = {name: names for names in pools_of.values() if len(names) > 1 for name in names}
    all_uses = dict(uses)
    for (pool, name), use in uses.items():
        for other in aliases.get(pool, ()):
            all_uses.setdefault((other, name), use)
    return all_uses
