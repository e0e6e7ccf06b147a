"""Converts pools and volumes to libvirt XML (https://libvirt.org/formatstorage.html) and back."""

from __future__ import annotations

import re
from uuid import UUID
from xml.etree import ElementTree as ET

from novacron_core.errors import InvalidArgument
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.specs import PoolSpec, VolumeSpec
from novacron_server.hypervisor.xml.document import child, parse, size_bytes, write

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,159}")
"""The longest is that of a disk: tenant, VM, eight digits of its id, format."""


def check_name(name: str, what: str) -> None:
    """Raise InvalidArgument unless `name` is safe as a file name on the host."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"a {what} name may have letters, digits, dots, hyphens, underscores and ~, at most 160")


def pool_xml(spec: PoolSpec) -> str:
    """The definition of a directory pool. Raises InvalidArgument."""
    check_name(spec.name, "pool")
    if not spec.path.startswith("/") or ".." in spec.path.split("/"):
        raise InvalidArgument("a pool's directory must be an absolute path")
    try:
        UUID(spec.uuid)
    except ValueError:
        raise InvalidArgument("the id of a pool must be a UUID") from None
    root = ET.Element("pool", {"type": "dir"})
    child(root, "name", spec.name)
    child(root, "uuid", spec.uuid)
    target = child(root, "target")
    child(target, "path", spec.path)
    # QEMU runs as another user: it needs search permission, but not read permission.
    child(child(target, "permissions"), "mode", "0711")
    return write(root)


def volume_xml(spec: VolumeSpec) -> str:
    """The definition of a thin volume, or of a block device. Raises InvalidArgument."""
    check_name(spec.name, "volume")
    if not 0 < spec.size_bytes < 2**63:
        raise InvalidArgument("a volume's size must be more than 0 bytes and less than 8 EiB")
    root = ET.Element("volume")
    child(root, "name", spec.name)
    child(root, "capacity", str(spec.size_bytes), unit="bytes")
    if spec.block:
        # With less allocated than its capacity, libvirt makes an LVM snapshot, which is lost when it is full.
        if spec.format != "raw":
            raise InvalidArgument("a volume that is a block device is raw")
        child(root, "allocation", str(spec.size_bytes), unit="bytes")
        child(child(child(root, "target"), "permissions"), "mode", "0600")
        return write(root)
    child(root, "allocation", "0", unit="bytes")
    target = child(root, "target")
    child(target, "format", type=spec.format)
    child(child(target, "permissions"), "mode", "0600")
    if spec.format == "qcow2":
        child(target, "compat", "1.1")
        if spec.cluster_bytes:
            child(target, "clusterSize", str(spec.cluster_bytes), unit="bytes")
            child(child(target, "features"), "extended_l2")
    return write(root)


def read_pool(text: str, *, active: bool) -> PoolFacts:
    """Parse a pool document. Raises MalformedXML."""
    root = parse(text)
    return PoolFacts(
        uuid=root.findtext("uuid") or "",
        name=root.findtext("name") or "",
        path=(root.findtext("target/path") or "").rstrip("/"),
        active=active,
        capacity_bytes=size_bytes(root.find("capacity"), "bytes"),
        allocated_bytes=size_bytes(root.find("allocation"), "bytes"),
        available_bytes=size_bytes(root.find("available"), "bytes"),
        type=root.get("type", ""),
    )


def read_volume(text: str, *, pool: str, pool_uuid: str) -> VolumeFacts:
    """Parse a volume document. Raises MalformedXML."""
    root = parse(text)
    return VolumeFacts(
        pool=pool,
        pool_uuid=pool_uuid,
        name=root.findtext("name") or "",
        path=root.findtext("target/path") or "",
        size_bytes=size_bytes(root.find("capacity"), "bytes"),
        allocated_bytes=size_bytes(root.find("allocation"), "bytes"),
        format=_format(root),
        file_bytes=size_bytes(root.find("physical"), "bytes"),
        backing_file=root.findtext("backingStore/path") or "",
        modified_ns=_nanoseconds(root.findtext("target/timestamps/mtime") or ""),
    )


def _format(root: ET.Element) -> str:
    """The format of a volume. libvirt calls a LUKS volume raw, and says in another element that it is encrypted."""
    kind, encryption = root.find("target/format"), root.find("target/encryption")
    name = "" if kind is None else kind.get("type", "")
    if encryption is None:
        return name
    cipher = encryption.get("format") or "encrypted"
    return cipher if name in ("", "raw") else f"{name} ({cipher})"


def _nanoseconds(text: str) -> int | None:
    """`1700000000.123456789` in nanoseconds, None for any other text."""
    seconds, _, fraction = text.partition(".")
    if not (seconds.isdigit() and (fraction or "0").isdigit() and len(text) < 40):
        return None
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9])
