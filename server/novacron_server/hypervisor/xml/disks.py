"""Disks inside a domain's XML: read as they lie, put in, taken out, pointed elsewhere. Everything else stays."""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase
from xml.etree import ElementTree as ET

import msgspec

from novacron_core.errors import Conflict
from novacron_server.hypervisor.specs import DiskSpec
from novacron_server.hypervisor.xml.document import child, parse, write
from novacron_server.hypervisor.xml.domain import DiskSource, add_disk


class DiskPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a domain as one of its two definitions has it. `mirror` is where a block copy writes to, if one runs;
    `mirror_ready`: both sides are the same from now on."""

    target: str
    path: str
    device: str = "disk"
    format: str = ""
    read_only: bool = False
    shareable: bool = False
    transient: bool = False
    chained: bool = False
    mirror: str = ""
    mirror_ready: bool = False


def disk_places(text: str) -> list[DiskPlace]:
    """Every disk of a domain document. Raises MalformedXML."""
    return [_place(disk) for disk in parse(text).iterfind("devices/disk")]


def with_source(text: str, target: str, path: str) -> str:
    """The document with one disk's source elsewhere. Raises Conflict when there is no such disk."""
    root = parse(text)
    source = _disk(root, target).find("source")
    name = _file_attribute(source)
    if source is None or name is None:
        raise Conflict(f"the disk {target} is no file")
    source.set(name, path)
    return write(root)


def with_disk(text: str, spec: DiskSpec, source: DiskSource) -> str:
    """The document with one disk more."""
    root = parse(text)
    devices = root.find("devices")
    add_disk(root if devices is None else devices, spec, source)
    return write(root)


def without_disk(text: str, target: str) -> str:
    """The document without a disk. Raises Conflict when there is no such disk."""
    root = parse(text)
    disk = _disk(root, target)
    for devices in root.iterfind("devices"):
        if disk in devices:
            devices.remove(disk)
    return write(root)


def disk_text(spec: DiskSpec, source: DiskSource) -> str:
    """One disk alone, as `virDomainAttachDeviceFlags` wants it."""
    return write(add_disk(ET.Element("devices"), spec, source))


def one_disk(text: str, target: str) -> str:
    """The disk as the document has it, alone: what `virDomainDetachDeviceFlags` wants. Raises Conflict."""
    return write(_disk(parse(text), target))


def copy_text(path: str, disk_format: str) -> str:
    """Where a block copy is to go, as `virDomainBlockCopy` wants it."""
    disk = ET.Element("disk", {"type": "file"})
    child(disk, "source", file=path)
    # The format is always said: left to probing, a guest could write a header that opens a file of the host.
    child(disk, "driver", name="qemu", type=disk_format)
    return write(disk)


def free_target(*texts: str) -> str:
    """The first place (vda, vdb …) that none of these documents uses. Raises Conflict when there is none."""
    taken = {place.target for text in texts for place in disk_places(text)}
    for letter in ascii_lowercase:
        if f"vd{letter}" not in taken:
            return f"vd{letter}"
    raise Conflict("the VM has 26 disks: no more fit")


def _disk(root: ET.Element, target: str) -> ET.Element:
    for disk in root.iterfind("devices/disk"):
        if _attribute(disk, "target", "dev") == target:
            return disk
    raise Conflict(f"the VM has no disk {target}")


def _place(disk: ET.Element) -> DiskPlace:
    source, mirror = disk.find("source"), disk.find("mirror")
    return DiskPlace(
        target=_attribute(disk, "target", "dev"),
        path=_path(source),
        device=disk.get("device", "disk"),
        format=_attribute(disk, "driver", "type"),
        read_only=disk.find("readonly") is not None,
        shareable=disk.find("shareable") is not None,
        transient=disk.find("transient") is not None,
        chained=any(True for _ in _chain(disk)),
        mirror="" if mirror is None else _path(mirror.find("source")) or mirror.get("file", ""),
        mirror_ready=mirror is not None and mirror.get("ready") == "yes",
    )


def _chain(disk: ET.Element) -> Iterator[ET.Element]:
    """The files that a disk leans on. libvirt ends a known chain with an empty element."""
    return (store for store in disk.iterfind("backingStore") if store.find("source") is not None)


def _path(source: ET.Element | None) -> str:
    name = _file_attribute(source)
    return "" if source is None or name is None else source.get(name, "")


def _file_attribute(source: ET.Element | None) -> str | None:
    return next((name for name in ("file", "dev") if source is not None and source.get(name)), None)


def _attribute(parent: ET.Element, tag: str, name: str) -> str:
    element = parent.find(tag)
    return "" if element is None else element.get(name, "")
