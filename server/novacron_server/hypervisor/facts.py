"""What one read of a host told: plain frozen values, in operators' words for states, libvirt's for identities.

Sizes are bytes. A missing number is None, never 0; a missing name is an empty string.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from novacron_core.api.vms import State


class OwnershipTag(msgspec.Struct, frozen=True, kw_only=True):
    """Our mark on a domain, kept in its `<metadata>`: which installation, tenant and operation made it.

    `generation` counts changes of the definition that we made.
    """

    instance: str
    tenant: str
    operation: str
    generation: int = 0


class DiskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a domain. `pool` and `volume` are names, filled where the disk is a volume of a known pool."""

    target: str
    device: str = "disk"
    bus: str = ""
    format: str = ""
    path: str = ""
    pool: str = ""
    volume: str = ""
    read_only: bool = False


class NICFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A network card. `network` is `user` for QEMU's own user networking, else its source's name."""

    mac: str
    network: str
    model: str = ""


class DomainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as libvirt knows it now.

    Disks, NICs and sizes are the running guest's while it runs, else the definition's. `xml_digest` is a hash of
    the persistent definition: it changes when somebody changes the definition, not when the guest starts or stops.
    """

    uuid: str
    name: str
    state: State
    reason: str = ""
    vcpus: int = 0
    memory_bytes: int = 0
    disks: tuple[DiskFacts, ...] = ()
    nics: tuple[NICFacts, ...] = ()
    virtualization: str = ""
    description: str = ""
    persistent: bool = True
    tag: OwnershipTag | None = None
    guest_agent: bool | None = None
    kernel: str = ""
    initrd: str = ""
    memory_period_s: int | None = None
    """How often the guest's balloon driver tells of its memory; 0: never, None: it has no balloon."""
    later_disks: tuple[DiskFacts, ...] = ()
    """Disks that the definition has and the running guest has not: it gets them at its next start."""
    xml_digest: str = ""


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A storage pool. `type` is libvirt's word: `dir`, `logical`, `netfs` …

    `device` is the disk it lies on (`st_dev`), where that is this machine's and is the one libvirt sees.
    """

    uuid: str
    name: str
    path: str
    active: bool
    capacity_bytes: int
    allocated_bytes: int
    available_bytes: int
    type: str
    device: int | None = None


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. `size_bytes` is what a guest sees, `allocated_bytes` what it takes on disk now, `file_bytes` how long
    its file is, holes and all, 0 where that is not told.

    `backing_file` is the path of the file it is an overlay of, empty for none. `modified_ns` is its file's time stamp.
    """

    pool: str
    pool_uuid: str
    name: str
    path: str
    size_bytes: int
    allocated_bytes: int
    format: str
    backing_file: str = ""
    file_bytes: int = 0
    modified_ns: int | None = None


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A host as libvirt knows it. `notes` are sentences for the operator about what is not as it should be."""

    hostname: str
    cpus: int
    memory_bytes: int
    memory_free_bytes: int | None
    libvirt_version: str
    hypervisor_version: str
    virtualization: str
    simulated: bool
    networks: tuple[str, ...]
    architecture: str
    notes: tuple[str, ...] = ()


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Something may have changed: re-read what it names. Never a fact in itself."""

    host_id: str
    kind: Literal["domain", "pool", "host"]
    uuid: str | None = None
