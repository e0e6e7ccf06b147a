"""Disks of domains: looked at, attached, detached, grown, copied while in use. Blocking calls: run in a worker thread."""

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

_LASTING = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE


class DiskUser(msgspec.Struct, frozen=True, kw_only=True):
    """A domain and how it uses a file: as a disk while it runs (`live`) and in its definition (`lasting`).

    `otherwise` says what else the file is to it: `its kernel`, `what its disk vda leans on`; empty for nothing.
    """

    uuid: str
    name: str
    active: bool
    saved: bool
    snapshots: int
    live: DiskLocation | None
    lasting: DiskLocation | None
    otherwise: str = ""


class BlockJob(msgspec.Struct, frozen=True, kw_only=True):
    """A block copy: bytes done, of how many, and whether both sides are the same from now on."""

    done_bytes: int
    total_bytes: int
    ready: bool
    path: str


def users(connection: Any, reader: DomainReader, path: str, files: Files, *, fresh: bool) -> list[DiskUser]:
    """Every domain that has this file as a disk, or leans on it. `fresh=False` trusts what no event has named."""
    wanted = files.real(path)
    found = (
        _user(connection, domain, active, documents, wanted, files)
        for domain, active, documents in reader.documents(connection, fresh=fresh)
    )
    return [user for user in found if user is not None]


def _user(
    connection: Any, domain: Any, active: bool, documents: Documents, wanted: str, files: Files
) -> DiskUser | None:
    live = _using(connection, documents.live, wanted, files) if active else None
    lasting = _using(connection, documents.lasting, wanted, files)
    otherwise = "" if live or lasting else _otherwise(connection, documents, wanted, files)
    if not (live or lasting or otherwise):
        return None
    try:
        return DiskUser(
            uuid=str(domain.UUIDString()),
            name=str(domain.name()),
            active=active,
            saved=bool(domain.hasManagedSaveImage(0)),
            snapshots=int(domain.snapshotNum(0)),
            live=live,
            lasting=lasting,
            otherwise=otherwise,
        )
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None  # it went away between the list and the look
        raise


def _using(connection: Any, places: Sequence[DiskLocation], wanted: str, files: Files) -> DiskLocation | None:
    for place in places:
        names = (_path_of(connection, place), place.mirror)
        if any(name and files.real(name) == wanted for name in names):
            return place
    return None


def _path_of(connection: Any, place: DiskLocation) -> str:
    """Where a disk lies, one too that is named by a pool that was not known when its document was read."""
    if place.path or not place.by_volume:
        return place.path
    try:
        return str(find_volume(connection, place.pool, place.volume).path())
    except libvirt.libvirtError:
        return ""  # it is nowhere, so it is not the one that is looked for


def _otherwise(connection: Any, documents: Documents, wanted: str, files: Files) -> str:
    said = documents.definition
    for part, name in (("kernel", said.kernel), ("initrd", said.initrd)):
        if name and files.real(name) == wanted:
            return f"its {part}"
    for place in (*documents.live, *documents.lasting):
        # The document of one that runs knows what its disks lean on; else only the files themselves do.
        below = {files.real(name) for name in place.backing_file}
        if place.format == "qcow2" and not below:
            below = files.chain([_path_of(connection, place)])
        if wanted in below:
            return f"what its disk {place.target} leans on"
    return ""


def _at(connection: Any, text: str, path: str) -> DiskLocation | None:
    return _using(connection, disk_locations(text), path, Files(local=False))


def switch(connection: Any, uuid: str, old: str, new: str) -> None:
    """Has the definition's disk at `old` be at `new`; fine when it is there already. Raises Conflict."""
    domain = connection.lookupByUUIDString(uuid)
    text = str(domain.XMLDesc(_LASTING))
    place = _at(connection, text, old)
    if place is not None:
        connection.defineXML(with_source(text, place.target, new))
    elif _at(connection, text, new) is None:
        raise Conflict("the VM has another disk there now")


def attach(connection: Any, uuid: str, pool: str, name: str, disk_format: Format, *, read_only: bool) -> str:
    """Gives a volume to a domain, at once if it runs and for good. Returns its place. Fine when it is there already."""
    domain = connection.lookupByUUIDString(uuid)
    volume = find_volume(connection, pool, name)
    source = DiskSource(str(volume.path()), volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK)
    lasting, live = str(domain.XMLDesc(_LASTING)), str(domain.XMLDesc(0))
    there, defined = _at(connection, live, source.path), _at(connection, lasting, source.path)
    known = there or defined
    target = known.target if known else free_target(live, lasting)
    spec = DiskSpec(pool=pool, volume=name, format=disk_format, target=target, read_only=read_only)
    if domain.isActive() and there is None:
        domain.attachDeviceFlags(disk_text(spec, source), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if defined is None:
        connection.defineXML(with_disk(lasting, spec, source))
    return target


def unplug(connection: Any, uuid: str, path: str) -> None:
    """Asks a running domain's guest to let go of a disk. libvirt waits some seconds; then the guest may still have it."""
    domain = connection.lookupByUUIDString(uuid)
    live = str(domain.XMLDesc(0))
    if not domain.isActive() or (place := _at(connection, live, path)) is None:
        return
    try:
        domain.detachDeviceFlags(one_disk(live, place.target), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        if code_of(error) != libvirt.VIR_ERR_DEVICE_MISSING:  # the guest let go of it just now
            raise


def is_plugged(connection: Any, uuid: str, path: str) -> bool:
    """Whether a running domain has a disk at this path."""
    domain = connection.lookupByUUIDString(uuid)
    return bool(domain.isActive()) and _at(connection, str(domain.XMLDesc(0)), path) is not None


def undefine_disk(connection: Any, uuid: str, path: str) -> None:
    """Takes a disk out of a domain's definition; fine when it has none."""
    lasting = str(connection.lookupByUUIDString(uuid).XMLDesc(_LASTING))
    if place := _at(connection, lasting, path):
        connection.defineXML(without_disk(lasting, place.target))


def grow(connection: Any, uuid: str, path: str, size_bytes: int) -> None:
    """Tells a running guest's disk its new, larger size."""
    domain = connection.lookupByUUIDString(uuid)
    place = _at(connection, str(domain.XMLDesc(0)), path)
    if place is None:
        raise Conflict("the VM has another disk there now")
    domain.blockResize(place.target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def start_copy(connection: Any, uuid: str, target: str, path: str, disk_format: str, bandwidth_bytes_s: int) -> None:
    """Has QEMU copy a disk in use to a volume that is there, and keep both the same. 0: as fast as it goes."""
    domain = connection.lookupByUUIDString(uuid)
    limits = {libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH: bandwidth_bytes_s} if bandwidth_bytes_s else {}
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    domain.blockCopy(target, copy_text(path, disk_format), limits, flags)


def block_job(connection: Any, uuid: str, target: str) -> BlockJob | None:
    """The block copy on a disk, None when there is none."""
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isActive():
        return None
    found = domain.blockJobInfo(target, libvirt.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES)
    place = next((p for p in disk_locations(str(domain.XMLDesc(0))) if p.target == target), None)
    if not found or place is None or not place.mirror:
        return None
    return BlockJob(
        done_bytes=int(found["cur"]), total_bytes=int(found["end"]), ready=place.mirror_ready, path=place.mirror
    )


def pivot(connection: Any, uuid: str, target: str) -> None:
    """Has the guest use the copy from now on. Conflict while the two differ."""
    domain = connection.lookupByUUIDString(uuid)
    domain.blockJobAbort(target, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)


def abort_copy(connection: Any, uuid: str, target: str) -> None:
    """Ends a block copy; the guest stays on its disk. Fine when there is none."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        if domain.isActive() and domain.blockJobInfo(target, 0):
            domain.blockJobAbort(target, 0)
    except libvirt.libvirtError as error:
        if code_of(error) not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise
