"""Disks of domains: read, attach, detach, grow, copy while in use. Blocking calls: run in a worker thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libvirt
import msgspec

from novacron_core.errors import Conflict
from novacron_server.hypervisor.faults import code_of
from novacron_server.hypervisor.specs import DiskSpec, Format
from novacron_server.hypervisor.storage.backing_files import Files
from novacron_server.hypervisor.storage.volumes import find_volume
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.hypervisor.xml.definition import Documents
from novacron_server.hypervisor.xml.disk_locations import DiskLocation, disk_locations
from novacron_server.hypervisor.xml.disks import (
    copy_text,
    disk_text,
    free_target,
    one_disk,
    with_disk,
    with_source,
    without_disk,
)
from novacron_server.hypervisor.xml.domain import DiskSource

_PERSISTENT_XML = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


class DiskUser(msgspec.Struct, frozen=True, kw_only=True):
    """A domain and how it uses a file: as a disk of the running guest (`live`) and of the definition (`persistent`).

    `other_use` describes any other use: `its kernel`, `the backing file of its disk vda`; empty for none.
    """

    uuid: str
    name: str
    active: bool
    saved: bool
    snapshots: int
    live: DiskLocation | None
    persistent: DiskLocation | None
    other_use: str = ""


class BlockJob(msgspec.Struct, frozen=True, kw_only=True):
    """A block copy: bytes copied and total, and whether both sides are in sync (`ready`)."""

    done_bytes: int
    total_bytes: int
    ready: bool
    path: str


def users(connection: Any, reader: DomainReader, path: str, files: Files, *, fresh: bool) -> list[DiskUser]:
    """Every domain that uses this file. `fresh=False` reuses the cached documents of domains without recent events."""
    wanted = files.real(path)
    found = (
        _user(connection, domain, active, documents, wanted, files)
        for domain, active, documents in reader.documents(connection, fresh=fresh)
    )
    return [user for user in found if user is not None]


def _user(
    connection: Any, domain: Any, active: bool, documents: Documents, wanted: str, files: Files
) -> DiskUser | None:
    live = _find_disk(connection, documents.live, wanted, files) if active else None
    persistent = _find_disk(connection, documents.persistent, wanted, files)
    other_use = "" if live or persistent else _other_use(connection, documents, wanted, files)
    if not (live or persistent or other_use):
        return None
    try:
        return DiskUser(
            uuid=str(domain.UUIDString()),
            name=str(domain.name()),
            active=active,
            saved=bool(domain.hasManagedSaveImage(0)),
            snapshots=int(domain.snapshotNum(0)),
            live=live,
            persistent=persistent,
            other_use=other_use,
        )
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None  # it was removed between the listing and the read
        raise


def _find_disk(connection: Any, disks: Sequence[DiskLocation], wanted: str, files: Files) -> DiskLocation | None:
    for disk in disks:
        names = (_path_of(connection, disk), disk.mirror)
        if any(name and files.real(name) == wanted for name in names):
            return disk
    return None


def _path_of(connection: Any, disk: DiskLocation) -> str:
    """The path of a disk, including one in a pool that was not known when the document was read."""
    if disk.path or not disk.by_volume:
        return disk.path
    try:
        return str(find_volume(connection, disk.pool, disk.volume).path())
    except libvirt.libvirtError:
        return ""  # the volume does not exist, so it cannot be the wanted file


def _other_use(connection: Any, documents: Documents, wanted: str, files: Files) -> str:
    definition = documents.definition
    for part, name in (("kernel", definition.kernel), ("initrd", definition.initrd)):
        if name and files.real(name) == wanted:
            return f"its {part}"
    for disk in (*documents.live, *documents.persistent):
        # The XML of a running domain contains its backing files; otherwise only the image headers do.
        backing_files = {files.real(name) for name in disk.backing_file}
        if disk.format == "qcow2" and not backing_files:
            backing_files = files.chain([_path_of(connection, disk)])
        if wanted in backing_files:
            return f"the backing file of its disk {disk.target}"
    return ""


def _persistent(connection: Any, uuid: str) -> Any:
    """Look up a domain whose definition is to be changed. Raises Conflict if it has none: defining it would make it
    persistent."""
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isPersistent():
        raise Conflict("the VM is transient: libvirt has no definition of it that could be changed")
    return domain


def _disk_at(connection: Any, text: str, path: str) -> DiskLocation | None:
    return _find_disk(connection, disk_locations(text), path, Files(local=False))


def switch(connection: Any, uuid: str, old: str, new: str) -> None:
    """Change a disk's path in the definition from `old` to `new`; succeeds if done before. Raises Conflict."""
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isPersistent():
        return  # only the running guest has the disk, and it was switched
    text = str(domain.XMLDesc(_PERSISTENT_XML))
    disk = _disk_at(connection, text, old)
    if disk is not None:
        connection.defineXML(with_source(text, disk.target, new))
    elif _disk_at(connection, text, new) is None:
        raise Conflict("the VM's disk has been replaced by another")


def attach(connection: Any, uuid: str, pool: str, name: str, disk_format: Format, *, read_only: bool) -> str:
    """Attach a volume, live if the domain runs, and persistently. Returns its target. Succeeds if it is attached."""
    domain = _persistent(connection, uuid)
    volume = find_volume(connection, pool, name)
    source = DiskSource(str(volume.path()), volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK)
    persistent, live = str(domain.XMLDesc(_PERSISTENT_XML)), str(domain.XMLDesc(0))
    attached, defined = _disk_at(connection, live, source.path), _disk_at(connection, persistent, source.path)
    existing = attached or defined
    target = existing.target if existing else free_target(live, persistent)
    spec = DiskSpec(pool=pool, volume=name, format=disk_format, target=target, read_only=read_only)
    if domain.isActive() and attached is None:
        domain.attachDeviceFlags(disk_text(spec, source), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if defined is None:
        connection.defineXML(with_disk(persistent, spec, source))
    return target


def unplug(connection: Any, uuid: str, path: str) -> None:
    """Ask a running guest to release a disk. libvirt waits a few seconds; the guest may still have it afterwards."""
    domain = connection.lookupByUUIDString(uuid)
    live = str(domain.XMLDesc(0))
    if not domain.isActive() or (disk := _disk_at(connection, live, path)) is None:
        return
    try:
        domain.detachDeviceFlags(one_disk(live, disk.target), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_DEVICE_MISSING:  # the guest has just released it
            raise


def is_plugged(connection: Any, uuid: str, path: str) -> bool:
    """Whether a running domain has a disk at this path."""
    domain = connection.lookupByUUIDString(uuid)
    return bool(domain.isActive()) and _disk_at(connection, str(domain.XMLDesc(0)), path) is not None


def undefine_disk(connection: Any, uuid: str, path: str) -> None:
    """Remove a disk from a domain's definition; succeeds if it is not there."""
    persistent = str(_persistent(connection, uuid).XMLDesc(_PERSISTENT_XML))
    if disk := _disk_at(connection, persistent, path):
        connection.defineXML(without_disk(persistent, disk.target))


def grow(connection: Any, uuid: str, path: str, size_bytes: int) -> None:
    """Grow a running guest's disk to a new size."""
    domain = connection.lookupByUUIDString(uuid)
    disk = _disk_at(connection, str(domain.XMLDesc(0)), path)
    if disk is None:
        raise Conflict("the VM's disk has been replaced by another")
    domain.blockResize(disk.target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def start_copy(connection: Any, uuid: str, target: str, path: str, disk_format: str, bandwidth_bytes_s: int) -> None:
    """Start QEMU copying a disk in use to an existing volume and mirroring writes to both. 0: no rate limit."""
    domain = connection.lookupByUUIDString(uuid)
    limits = {libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH: bandwidth_bytes_s} if bandwidth_bytes_s else {}
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    domain.blockCopy(target, copy_text(path, disk_format), limits, flags)


def block_job(connection: Any, uuid: str, target: str) -> BlockJob | None:
    """The block copy of a disk, None if there is none."""
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isActive():
        return None
    try:
        found = domain.blockJobInfo(target, libvirt.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES)
    except libvirt.libvirtError as error:
        if not _disk_is_gone(error):
            raise
        return None
    disk = next((p for p in disk_locations(str(domain.XMLDesc(0))) if p.target == target), None)
    if not found or disk is None or not disk.mirror:
        return None
    return BlockJob(
        done_bytes=int(found["cur"]), total_bytes=int(found["end"]), ready=disk.mirror_ready, path=disk.mirror
    )


def pivot(connection: Any, uuid: str, target: str) -> None:
    """Switch the guest to the copy. Raises libvirtError while the two differ."""
    domain = connection.lookupByUUIDString(uuid)
    domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)


def abort_copy(connection: Any, uuid: str, target: str) -> None:
    """Abort a block copy; the guest keeps its current disk. Succeeds if there is none, or the disk was unplugged."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        if domain.isActive() and domain.blockJobInfo(target, 0):
            domain.blockJobAbort(target, 0)
    except libvirt.libvirtError as error:
        gone = code_of(error) in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)
        if not gone and not _disk_is_gone(error):
            raise


def _disk_is_gone(error: libvirt.libvirtError) -> bool:
    """Whether the domain has no disk at this target any more; libvirt has no code of its own for it."""
    return code_of(error) == libvirt.VIR_ERR_INVALID_ARG and "not found in domain" in str(error)
