"""Parses libvirt's domain XML into values. It includes unmanaged VMs, so any content must be expected."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

import msgspec

from novacron_server.hypervisor.facts import DiskFacts, NICFacts, OwnershipTag, SerialFacts
from novacron_server.hypervisor.xml.disk_locations import DiskLocation, attribute, locations_in
from novacron_server.hypervisor.xml.document import parse, size_bytes, write
from novacron_server.hypervisor.xml.metadata import read_tag
from novacron_server.hypervisor.xml.serial import read_serial

_AGENT = "org.qemu.guest_agent.0"
_MAX_DESCRIPTION = 4096
_SECRET_ATTRIBUTES = ("passwd", "password", "passwdValidTo")


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a domain's XML. `guest_agent` is known only for a running guest.

    `later_disks` are in the definition, but not yet in the running guest.
    """

    vcpus: int = 0
    memory_bytes: int = 0
    disks: tuple[DiskFacts, ...] = ()
    nics: tuple[NICFacts, ...] = ()
    virtualization: str = ""
    description: str = ""
    tag: OwnershipTag | None = None
    guest_agent: bool | None = None
    kernel: str = ""
    initrd: str = ""
    memory_period_s: int | None = None
    later_disks: tuple[DiskFacts, ...] = ()
    serial: SerialFacts | None = None
    later_serial: SerialFacts | None = None


class Documents(msgspec.Struct, frozen=True, kw_only=True):
    """A domain's two parsed documents: `live` and `persistent`, which are the same while it is off."""

    definition: Definition
    digest: str
    live: tuple[DiskLocation, ...]
    persistent: tuple[DiskLocation, ...]


def read_documents(live: str, persistent: str, pools: Mapping[str, str]) -> Documents:
    """`pools` maps directories to pool names, so that paths can be mapped to volumes. Raises MalformedXML."""
    persistent_root = parse(persistent)
    live_root = persistent_root if live is persistent else parse(live)
    locations, defined = (tuple(locations_in(root, pools)) for root in (live_root, persistent_root))
    live_paths = {location.path for location in locations}
    later = tuple(_disk(location) for location in defined if location.path and location.path not in live_paths)
    definition = msgspec.structs.replace(
        _read(live_root, locations), later_disks=later, later_serial=read_serial(persistent_root)
    )
    return Documents(definition=definition, digest=_digest(persistent_root), live=locations, persistent=defined)


def read_domain(text: str, pools: Mapping[str, str]) -> Definition:
    """The definition in a domain document, as `read_documents`."""
    return read_documents(text, text, pools).definition


def _read(root: ET.Element, locations: Sequence[DiskLocation]) -> Definition:
    vcpu = root.find("vcpu")
    return Definition(
        vcpus=_count(vcpu.get("current") or vcpu.text) if vcpu is not None else 0,
        memory_bytes=size_bytes(root.find("memory"), "KiB"),
        disks=tuple(_disk(location) for location in locations),
        nics=tuple(_nic(nic) for nic in root.iterfind("devices/interface")),
        virtualization=root.get("type", ""),
        description=(root.findtext("description") or "")[:_MAX_DESCRIPTION],
        tag=read_tag(root),
        guest_agent=_agent(root),
        kernel=root.findtext("os/kernel") or "",
        initrd=root.findtext("os/initrd") or "",
        memory_period_s=_memory_period(root),
        serial=read_serial(root),
    )


def digest(text: str) -> str:
    """A hash of a definition that ignores the order of its devices: libvirt reorders them at a start.

    Raises MalformedXML.
    """
    return _digest(parse(text))


def _digest(root: ET.Element) -> str:
    for devices in root.iterfind("devices"):
        for device in devices:
            device.tail = None
        devices[:] = sorted(devices, key=ET.tostring)
    return hashlib.blake2b(ET.tostring(root), digest_size=16).hexdigest()


def without_secrets(text: str) -> str:
    """The document without passwords. Returned unchanged, byte for byte, if there are none.

    Raises MalformedXML.
    """
    root = parse(text)
    found = [(e, name) for e in root.iter() for name in _SECRET_ATTRIBUTES if name in e.attrib]
    for element, name in found:
        del element.attrib[name]
    return write(root) if found else text


def _count(text: str | None) -> int:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _disk(location: DiskLocation) -> DiskFacts:
    return DiskFacts(**{name: getattr(location, name) for name in DiskFacts.__struct_fields__})


def _nic(nic: ET.Element) -> NICFacts:
    kind = nic.get("type", "")
    source = nic.find("source")
    name = "user" if kind == "user" else ""
    if source is not None and kind != "user":
        name = source.get("network") or source.get("bridge") or source.get("dev") or ""
    return NICFacts(mac=attribute(nic, "mac", "address"), network=name or kind, model=attribute(nic, "model", "type"))


def _agent(root: ET.Element) -> bool | None:
    for target in root.iterfind("devices/channel/target"):
        if target.get("name") == _AGENT and target.get("state"):
            return target.get("state") == "connected"
    return None


def _memory_period(root: ET.Element) -> int | None:
    balloon = root.find("devices/memballoon")
    if balloon is None or balloon.get("model") == "none":
        return None
    stats = balloon.find("stats")
    return _count(stats.get("period")) if stats is not None else 0
