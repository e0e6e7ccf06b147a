"""Disks inside a domain's XML: put in, taken out, pointed elsewhere. Everything else stays."""

from __future__ import annotations

from string import ascii_lowercase
from xml.etree import ElementTree as ET

from novacron_core.errors import Conflict
from novacron_server.hypervisor.specs import DiskSpec
from novacron_server.hypervisor.xml.disk_locations import attribute, disk_locations
from novacron_server.hypervisor.xml.document import child, parse, write
from novacron_server.hypervisor.xml.domain import DiskSource, add_disk


def with_source(text: str, target: str, path: str) -> str:
    """The document with one disk's source elsewhere. Raises Conflict when there is no such disk."""
    root = parse(text)
    disk = _disk(root, target)
    source = disk.find("source")
    if source is None or disk.get("type") not in ("file", "block", "volume"):
        raise Conflict(f"the disk {target} is no file")
    if disk.get("type") == "volume":
        disk.set("type", "file")
        source.attrib.clear()
    source.set("dev" if disk.get("type") == "block" else "file", path)
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
    taken = {place.target for text in texts for place in disk_locations(text)}
    for letter in ascii_lowercase:
        if f"vd{letter}" not in taken:
            return f"vd{letter}"
    raise Conflict("the VM has 26 disks: no more fit")


def _disk(root: ET.Element, target: str) -> ET.Element:
    for disk in root.iterfind("devices/disk"):
        if attribute(disk, "target", "dev") == target:
            return disk
    raise Conflict(f"the VM has no disk {target}")
