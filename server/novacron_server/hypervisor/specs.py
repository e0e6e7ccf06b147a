"""Specifications of the domains, pools and volumes that NovaCron creates on a host.

They are validated where they are converted to XML (xml/), so that no caller can skip the validation.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from novacron_server.hypervisor.facts import OwnershipTag, VolumeFacts

Format = Literal["qcow2", "raw"]
Virtualization = Literal["kvm", "qemu", "test"]


class DiskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A disk by pool and volume name; its path is looked up in libvirt when the domain is defined."""

    pool: str
    volume: str
    format: Format = "qcow2"
    target: str = "vda"
    read_only: bool = False


class NICSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface on a libvirt network, or `user`. An empty `mac` is derived from the domain's UUID."""

    network: str = "user"
    mac: str = ""


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A domain. `kernel` and `initrd` are paths on the host (for example of a volume), for direct kernel boot."""

    uuid: str
    name: str
    vcpus: int
    memory_bytes: int
    virtualization: Virtualization
    disks: tuple[DiskSpec, ...] = ()
    nics: tuple[NICSpec, ...] = ()
    kernel: str = ""
    initrd: str = ""
    cmdline: str = ""
    description: str = ""
    tag: OwnershipTag | None = None
    architecture: str = "x86_64"
    console_log: str = ""
    """Path of the log of the first serial port, empty for none."""


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A directory pool at an absolute path on the host. QEMU's user needs search permission on its parents (0711)."""

    uuid: str
    name: str
    path: str


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A thin volume: `size_bytes` is the size that the guest sees.

    `cluster_bytes` is the cluster size of a qcow2 with extended L2 entries; 0: the usual 64 KiB, without them. `block`: in a
    pool whose volumes are block devices. It is raw and has all of its room from the start.
    """

    pool: str
    name: str
    size_bytes: int
    format: Format = "qcow2"
    cluster_bytes: int = 0
    block: bool = False


_CLUSTER_BYTES, _LARGEST_CLUSTER_BYTES = 64 << 10, 2 << 20
_TABLE_BYTES = 8 << 20
_TABLE_PART = 0.02


def mirror_cluster_bytes(volume: VolumeFacts) -> int:
    """The `cluster_bytes` of a qcow2 into which QEMU mirrors this volume.

    Before QEMU 10.1 a mirror first writes zeros over all of its target. A qcow2 stores them as L2 entries, eight bytes
    for every cluster: 128 MiB for 1 TiB, however little is in it. With extended L2 entries (16 bytes) a cluster of 2 MiB
    is allocated in 32 parts, so the copy is as thin and its tables have a sixteenth of the size. Where the tables are
    little beside the data, the usual format stays. Source: docs/interop/qcow2.txt of QEMU.
    """
    tables = volume.size_bytes // _CLUSTER_BYTES * 8
    if tables <= max(_TABLE_BYTES, int(volume.allocated_bytes * _TABLE_PART)):
        return 0
    cluster = 2 * _CLUSTER_BYTES
    while cluster < _LARGEST_CLUSTER_BYTES and volume.size_bytes // cluster * 16 > _TABLE_BYTES:
        cluster *= 2
    return cluster


def mac_for(uuid: str, index: int) -> str:
    """A MAC address in QEMU's range (52:54:00), derived from the domain's UUID and the interface's index.

    It is always the same, so that redefining a domain does not give the guest a different interface.
    """
    tail = hashlib.blake2b(f"{uuid}/{index}".encode(), digest_size=3).hexdigest()
    return f"52:54:00:{tail[0:2]}:{tail[2:4]}:{tail[4:6]}"


def with_creation_format(volume: VolumeFacts, image: str | None) -> VolumeFacts:
    """The volume with the format `image` that it was created with; None: unknown, keep libvirt's.

    libvirt guesses the format from the file header, which a guest can overwrite in a raw disk: it could name a host's
    file as backing file.
    """
    if image is None or image == volume.format:
        return volume
    size = volume.file_bytes if image == "raw" and volume.file_bytes else volume.size_bytes
    return msgspec.structs.replace(volume, format=image, backing_file="", size_bytes=size, note="")


def image_format(volume: VolumeFacts) -> Format:
    """The disk format for a volume: `qcow2`, or `raw` for every other format that libvirt reports."""
    return "qcow2" if volume.format == "qcow2" else "raw"
