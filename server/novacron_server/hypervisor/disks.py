"""Disks of domains: looked at, attached, detached, grown, copied while in use. Blocking calls: run in a worker thread."""

from __future__ import annotations

import time
from typing import Any

import libvirt
import msgspec

from novacron_core.errors import Conflict
from novacron_server.hypervisor.faults import code_of
from novacron_server.hypervisor.specs import DiskSpec, Format
from novacron_server.hypervisor.storage import find_volume
from novacron_server.hypervisor.xml.disks import (
    DiskPlace,
    copy_text,
    disk_places,
    disk_text,
    free_target,
    one_disk,
    with_disk,
    with_source,
    without_disk,
)
from novacron_server.hypervisor.xml.domain import DiskSource

_LASTING = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
_UNPLUG_S = 20.0


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """A domain and how it names a path: while it runs (`live`), and in its definition (`lasting`)."""

    uuid: str
    name: str
    active: bool
    saved: bool
    snapshots: int
    live: DiskPlace | None
    lasting: DiskPlace | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A block copy: bytes done, of how many, and whether both sides are the same from now on."""

    done_bytes: int
    total_bytes: int
    ready: bool
    path: str


def users(connection: Any, path: str) -> list[Users]:
    """Every domain one of whose definitions has a disk at this path."""
    found = (_user(domain, path) for domain in connection.listAllDomains(0))
    return [user for user in found if user is not None]


def _user(domain: Any, path: str) -> Users | None:
    try:
        lasting_text = str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        active = bool(domain.isActive())
        live_text = str(domain.XMLDesc(0)) if active else lasting_text
        if path not in live_text and path not in lasting_text:
            return None
        live, lasting = _at(live_text, path), _at(lasting_text, path)
        if live is None and lasting is None:
            return None
        return Users(
            uuid=str(domain.UUIDString()),
            name=str(domain.name()),
            active=active,
            saved=bool(domain.hasManagedSaveImage(0)),
            snapshots=int(domain.snapshotNum(0)),
            live=live if active else None,
            lasting=lasting,
        )
    except libvirt.libvirtError as error:
        if code_of(error) == libvirt.VIR_ERR_NO_DOMAIN:
            return None  # it went away between the list and the look
        raise


def _at(text: str, path: str) -> DiskPlace | None:
    return next((place for place in disk_places(text) if path in (place.path, place.mirror)), None)


def switch(connection: Any, uuid: str, old: str, new: str) -> None:
    """Has the definition's disk at `old` be at `new`; fine when it is there already. Raises Conflict."""
    domain = connection.lookupByUUIDString(uuid)
    text = str(domain.XMLDesc(_LASTING))
    places = {place.path: place for place in disk_places(text)}
    if new in places and old not in places:
        return
    if old not in places:
        raise Conflict("the VM has another disk there now")
    connection.defineXML(with_source(text, places[old].target, new))


def attach(connection: Any, uuid: str, pool: str, name: str, disk_format: Format, *, read_only: bool) -> str:
    """Gives a volume to a domain, at once if it runs and for good. Returns its place. Fine when it is there already."""
    domain = connection.lookupByUUIDString(uuid)
    volume = find_volume(connection, pool, name)
    source = DiskSource(str(volume.path()), volume.info()[0] == libvirt.VIR_STORAGE_VOL_BLOCK)
    lasting, live = str(domain.XMLDesc(_LASTING)), str(domain.XMLDesc(0))
    active = bool(domain.isActive())
    known = _at(live, source.path) or _at(lasting, source.path)
    target = known.target if known else free_target(live, lasting)
    spec = DiskSpec(pool=pool, volume=name, format=disk_format, target=target, read_only=read_only)
    if active and _at(live, source.path) is None:
        domain.attachDeviceFlags(disk_text(spec, source), libvirt.VIR_DOMAIN_AFFECT_LIVE)
    if _at(lasting, source.path) is None:
        connection.defineXML(with_disk(lasting, spec, source))
    return target


def detach(connection: Any, uuid: str, path: str) -> None:
    """Takes a disk from a domain, at once if it runs and for good; fine when it has none.

    Raises Conflict when the guest does not let go of it.
    """
    domain = connection.lookupByUUIDString(uuid)
    live = str(domain.XMLDesc(0))
    if domain.isActive() and (place := _at(live, path)):
        domain.detachDeviceFlags(one_disk(live, place.target), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        _wait_unplugged(domain, path)
    lasting = str(domain.XMLDesc(_LASTING))
    if place := _at(lasting, path):
        connection.defineXML(without_disk(lasting, place.target))


def _wait_unplugged(domain: Any, path: str) -> None:
    until = time.monotonic() + _UNPLUG_S
    while _at(str(domain.XMLDesc(0)), path) is not None:
        if time.monotonic() > until:
            raise Conflict("the guest does not let go of the disk: unmount it there, or shut the VM down")
        time.sleep(0.2)  # in a worker thread of this host


def grow(connection: Any, uuid: str, path: str, size_bytes: int) -> None:
    """Tells a running guest's disk its new, larger size."""
    domain = connection.lookupByUUIDString(uuid)
    place = _at(str(domain.XMLDesc(0)), path)
    if place is None:
        raise Conflict("the VM has another disk there now")
    domain.blockResize(place.target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)


def start_copy(connection: Any, uuid: str, target: str, path: str, disk_format: str, bandwidth_bytes_s: int) -> None:
    """Has QEMU copy a disk in use to a volume that is there, and keep both the same. 0: as fast as it goes."""
    domain = connection.lookupByUUIDString(uuid)
    limits = {libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH: bandwidth_bytes_s} if bandwidth_bytes_s else {}
    flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
    domain.blockCopy(target, copy_text(path, disk_format), limits, flags)


def job(connection: Any, uuid: str, target: str) -> Job | None:
    """The block copy on a disk, None when there is none."""
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isActive():
        return None
    found = domain.blockJobInfo(target, libvirt.VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES)
    place = next((p for p in disk_places(str(domain.XMLDesc(0))) if p.target == target), None)
    if not found or place is None or not place.mirror:
        return None
    return Job(done_bytes=int(found["cur"]), total_bytes=int(found["end"]), ready=place.mirror_ready, path=place.mirror)


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
