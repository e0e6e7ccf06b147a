"""The results of one read of a host as frozen values: NovaCron's terms for states, libvirt's for identities.

Sizes are bytes. A missing number is None, never 0; a missing name is an empty string.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from novacron_core.api.vms import State

ENDED_UNEXPECTEDLY = "ended unexpectedly"
"""Why a VM is crashed whose QEMU has died."""


class OwnershipTag(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """NovaCron's tag in a domain's `<metadata>`: which installation, tenant and operation created it.

    `generation` counts NovaCron's changes to the definition.
    """

    instance: str
    tenant: str
    operation: str
    generation: int = 0


class DiskFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A disk of a domain. `pool` and `volume` are names, set if the disk is a volume of a known pool."""

    target: str
    device: str = "disk"
    bus: str = ""
    format: str = ""
    path: str = ""
    pool: str = ""
    volume: str = ""
    read_only: bool = False
    backing_file: tuple[str, ...] = ()
    """The paths of its chain of backing files, as far as libvirt names them: while the guest runs."""


class NICFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network interface. `network` is `user` for QEMU's user networking, else the name of its source."""

    mac: str
    network: str
    model: str = ""


class SerialFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The first serial port of a domain. `type` is libvirt's: `pty`, `tcp` …; `log` is the path of its log on the host,
    empty if it has none."""

    type: str
    log: str = ""


class DomainFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The current state of a domain in libvirt.

    Disks, NICs and sizes are those of the running guest, or of the definition if it is not running. `xml_digest` is a
    hash of the persistent definition: it changes when the definition changes, not when the guest starts or stops.
    """

    uuid: str
    name: str
    state: State
    reason: str = ""
    run_id: int | None = None
    """libvirt's number of its run, None while it is off. A host that was rebooted begins again with 1."""
    preserved: bool = False
    """It crashed, and libvirt keeps its memory: it is reset or powered off before it can be started."""
    ended_cleanly: bool = False
    """It is off, and libvirt knows that its last run did not crash. A libvirtd that was restarted has forgotten."""
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
    """How often the guest's balloon driver reports memory statistics, in seconds; 0: never, None: no balloon device."""
    later_disks: tuple[DiskFacts, ...] = ()
    """Disks in the definition that the running guest does not have yet: they are added at its next start."""
    serial: SerialFacts | None = None
    later_serial: SerialFacts | None = None
    """The first serial port from the next start on; while it is off, the same."""
    xml_digest: str = ""

    def after_death(self) -> DomainFacts:
        """The facts of a domain that libvirt has forgotten because its QEMU has died, from the last ones of it."""
        return msgspec.structs.replace(
            self, state=State.CRASHED, reason=ENDED_UNEXPECTEDLY, run_id=None, guest_agent=None
        )

    @property
    def is_off(self) -> bool:
        """Whether no guest and no memory of one is left, saved memory included."""
        return self.state is State.STOPPED or (self.state is State.CRASHED and not self.preserved)


class PoolFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A storage pool. `type` is libvirt's pool type: `dir`, `logical`, `netfs` …

    `device` is the disk it is on (`st_dev`), set if this machine sees the same file system there as libvirt.
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
    directory: str = ""
    """The directory without links and dots, as far as this machine can tell: two pools may have the same one."""
    problem: str = ""
    """Why its volumes cannot be listed, or why it is inactive, as a sentence; empty if unknown or fine."""
    responds: bool = True
    """Whether its directory answers calls, as far as this machine can tell. If not, libvirt would hang in it too."""


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A volume. `size_bytes` is what a guest sees, `allocated_bytes` the space used on disk now, `file_bytes` the
    length of its file including holes, 0 if unknown.

    `backing_file` is the path of its backing file, empty for none. `modified_ns` is the modification time of its file.
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
    note: str = ""
    """What is odd about its file, as a sentence that continues its name; empty if nothing is known."""
    snapshots_inside: int = 0
    """How many snapshots its qcow2 file contains, which libvirt does not know; 0 also if the file is not seen here."""


class HostFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A host as reported by libvirt. `notes` are sentences for the operator about problems found on it."""

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


class Hint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something may have changed: read the named object again. A hint carries no data itself."""

    host_id: str
    kind: Literal["domain", "pool", "host"]
    uuid: str | None = None
