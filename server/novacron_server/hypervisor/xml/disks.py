"""Adds, removes and redirects disks in a domain's XML. Everything else stays unchanged."""

from __future__ import annotations

from string import ascii_lowercase
from xml.etree import ElementTree as ET

from novacron_core.errors import Conflict
from novacron_server.hypervisor.specs import DiskSpec
from novacron_server.hypervisor.xml.disk_locations import attribute, disk_locations
from novacron_server.hypervisor.xml.document import child, parse_source, write, write_source
from novacron_server.hypervisor.xml.domain import DiskSource, add_disk


def with_source(text: str, target: str, path: str) -> str:
    """The document with another path for one disk. Raises Conflict if there is no such disk."""
    root = parse_source(text)
    disk = _disk(root, target)
    source = disk.find("source")
    if source is None or disk.get("type") not in ("file", "block", "volume"):
        raise Conflict(f"the disk {target} is neither a file nor a block device")
    if disk.get("type") == "volume":
        disk.set("type", "file")
        source.attrib.clear()
    source.set("dev" if disk.get("type") == "block" else "file", path)
    return write_source(root)


def with_disk(text: str, spec: DiskSpec, source: DiskSource) -> str:
    """The document with an additional disk."""
    root = parse_source(text)
    devices = root.find("devices")
    add_disk(root if devices is None else devices, spec, source)
    return write_source(root)


def without_disk(text: str, target: str) -> str:
    """The document without a disk. Raises Conflict if there is no such disk."""
    root = parse_source(text)
    disk = _disk(root, target)
    for devices in root.iterfind("devices"):
        if disk in devices:
            devices.remove(disk)
    return write_source(root)


def disk_text(spec: DiskSpec, source: DiskSource) -> str:
    """The XML of one disk, for `virDomainAttachDeviceFlags`."""
    return write(add_disk(ET.Element("devices"), spec, source))


def one_disk(text: str, target: str) -> str:
    """The XML of one disk from the document, for `virDomainDetachDeviceFlags`. Raises Conflict."""
    return write_source(_disk(parse_source(text), target))


def copy_text(path: str, disk_format: str) -> str:
    """The XML of a block copy's target, for `virDomainBlockCopy`."""
    disk = ET.Element("disk", {"type": "file"})
    child(disk, "source", file=path)
    # The format is always set: if QEMU probed it, a guest could write a header that opens a file of the host.
    child(disk, "driver", name="qemu", type=disk_format)
    return write(disk)


def free_target(*texts: str) -> str:
    """The first target (vda, vdb …) that none of these documents uses. Raises Conflict if there is none."""
    taken = {disk.target for text in texts for disk in disk_locations(text)}
    for letter in ascii_lowercase:
        if f"vd{letter}" not in taken:
            return f"vd{letter}"
    raise Conflict("the VM already has 26 disks, the maximum")


def _disk(root: ET.Element, target: str) -> ET.Element:
    for disk in root.iterfind("devices/disk"):
        if attribute(disk, "target", "dev") == target:
            return disk
    raise Conflict(f"the VM has no disk {target}")
