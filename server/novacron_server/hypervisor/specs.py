"""What NovaCron asks a host to make: domains, pools and volumes, as values.

They are checked where they become XML (xml/), so that no path can skip the check.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from novacron_server.hypervisor.facts import OwnershipTag, VolumeFacts

Format = Literal["qcow2", "raw"]
Virtualization = Literal["kvm", "qemu", "test"]


class DiskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A disk by pool and volume name; its path is asked of libvirt when the domain is defined."""

    pool: str
    volume: str
    format: Format = "qcow2"
    target: str = "vda"
    read_only: bool = False


class NICSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A network card on a libvirt network, or `user`. An empty `mac` is derived from the domain's UUID."""

    network: str = "user"
    mac: str = ""


class DomainSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A domain. `kernel` and `initrd` are paths on the host (a volume's path does well), for direct boot."""

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


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A directory pool at an absolute path on the host. Its parents must let QEMU's user pass (0711)."""

    uuid: str
    name: str
    path: str


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A volume, thin: `size_bytes` is what the guest will see."""

    pool: str
    name: str
    size_bytes: int
    format: Format = "qcow2"


def mac_for(uuid: str, index: int) -> str:
    """A MAC address in QEMU's range (52:54:00) that is always the same for one domain and card.

    Fixed, so that defining a domain a second time does not give the guest another card.
    """
    tail = hashlib.blake2b(f"{uuid}/{index}".encode(), digest_size=3).hexdigest()
    return f"52:54:00:{tail[0:2]}:{tail[2:4]}:{tail[4:6]}"


def with_creation_format(volume: VolumeFacts, image: str | None) -> VolumeFacts:
    """The volume as the image that it was made as; None: it is not known.

    libvirt guesses by the file's head, which in a raw disk is the guest's to write: it could name a host's file.
    """
    if image is None or image == volume.format:
        return volume
    size = volume.file_bytes if image == "raw" and volume.file_bytes else volume.size_bytes
    return msgspec.structs.replace(volume, format=image, backing_file="", size_bytes=size)


def image_format(volume: VolumeFacts) -> Format:
    """The format that a volume's disk is given: what libvirt calls anything else is read as it lies."""
    return "qcow2" if volume.format == "qcow2" else "raw"
