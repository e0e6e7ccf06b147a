"""Maps libvirt's errors to NovaCron's: an error class and one sentence for the operator, never a traceback.

Codes: https://libvirt.org/html/libvirt-virterror.html. Where a code is too general, the message text decides.
"""

from __future__ import annotations

import re
from typing import Any

import libvirt

from novacron_core.errors import (
    Conflict,
    Internal,
    InvalidArgument,
    NotFound,
    NovaCronError,
    Unsupported,
)


class UnusableFile(Conflict):
    """A file of the VM is missing, or QEMU may not read it. `message` is libvirt's, with the path in quotes: which disk
    it is of is for the caller to say, and paths of the host are not for every reader."""

    message = ""
    missing = False


_MISSING, _UNREADABLE = (
    re.compile(rf"cannot access (storage|backing) file .*{why}|could not open .*{why}", re.IGNORECASE)
    for why in ("no such file", "permission denied")
)
_LOST_TEXT = re.compile(
    r"client socket is closed|keepalive timeout|connection closed due to|end of file while reading data"
    r"|cannot (send|recv|write|read) data.*(broken pipe|reset by peer)",
    re.IGNORECASE,
)

_CHILD = re.compile(
    r"Child process \((?:LC_ALL=C )?(?:\S*/)?(\S+).*\) unexpected (?:exit status|fatal signal) \d+(?:: ?(.*))?$"
)
"""A program that libvirt ran, and its last words. The command line has the paths of the host."""
_PATH = re.compile(r"(?<![^\s'\"=:(])/(?:[^\s'\"/]+/)+([^\s'\"/]+)")

_BY_TEXT: tuple[tuple[re.Pattern[str], type[NovaCronError], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind, sentence)
    for pattern, kind, sentence in (
        (r"no space left on device|disk quota exceeded|not enough (free )?space", Conflict, "there is no space left"),
        (r'failed to get (shared )?"?(write|consistent read)"? lock|is another process using the image', Conflict,
         "the disk is in use by another running VM"),
        (r"cannot (allocate memory|set up guest memory)|unable to allocate memory", Conflict,
         "the host does not have enough free memory"),
        (r"cannot acquire state change lock", Conflict, "libvirt is busy with another change of the VM: retry"),
        (r"network '[^']*' is not active|network is not active", Conflict, "its network is not active on this host"),
        (r"storage pool '[^']*' is not active|storage pool is not active|pool .* is not active", Conflict,
         "its storage pool is not active"),
        (r"already exists with uuid|already defined with uuid|domain .* already exists", Conflict,
         "a VM with that name already exists on this host"),
        (r"cannot (unlink|remove|delete) .*(operation not permitted|read-only file system|permission denied)", Conflict,
         "the host does not permit it: the file or its directory is read-only or immutable"),
        (r"no more available pci slots", Conflict,
         "the running VM has no free PCI slot for another disk: shut it down first"),
        (r"unplug of device was rejected by the guest", Conflict,
         "the guest has not released the disk: unmount it in the guest, or shut the VM down"),
        (r"domain is already running", Conflict, "the VM is already running"),
        (r"domain is not running", Conflict, "the VM is not running"),
        (r"no domain with matching", NotFound, "VM not found on this host"),
        (r"can't resize an? (v2 )?image which has snapshots", Conflict,
         "its disk has snapshots inside and its qcow2 format cannot grow with them: delete the snapshots, or run"
         " qemu-img amend -o compat=1.1 on the disk while its VM is off"),
        (r"can't shrink|can't be smaller|capacity.*smaller|would shrink", InvalidArgument,
         "a volume cannot be shrunk"),
        (r"cannot check QEMU binary|cannot find a suitable emulator|no emulator|emulator .* not found", Unsupported,
         "QEMU for this kind of VM is not installed on the host"),
        (r"kvm is not supported|kvm.*permission denied|domaintype kvm|failed to initialize kvm", Unsupported,
         "hardware virtualization (KVM) does not work on this host"),
    )
)  # fmt: skip

_BY_CODE: dict[int, tuple[type[NovaCronError], str]] = {
    libvirt.VIR_ERR_NO_DOMAIN: (NotFound, "VM not found on this host"),
    libvirt.VIR_ERR_NO_STORAGE_POOL: (NotFound, "storage pool not found on this host"),
    libvirt.VIR_ERR_NO_STORAGE_VOL: (NotFound, "volume not found in the pool"),
    libvirt.VIR_ERR_NO_NETWORK: (NotFound, "network not found on this host"),
    libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT: (NotFound, "snapshot not found"),
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: (Conflict, "a volume with that name already exists in the pool"),
    libvirt.VIR_ERR_DOM_EXIST: (Conflict, "a VM with that name already exists on this host"),
    libvirt.VIR_ERR_OPERATION_INVALID: (Conflict, ""),
    libvirt.VIR_ERR_OPERATION_TIMEOUT: (Conflict, ""),
    libvirt.VIR_ERR_RESOURCE_BUSY: (Conflict, ""),
    libvirt.VIR_ERR_NO_SUPPORT: (Unsupported, ""),
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: (Unsupported, ""),
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: (Unsupported, ""),
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: (Unsupported, ""),
    libvirt.VIR_ERR_OPERATION_DENIED: (Unsupported, "libvirt on the host denies this server permission to do that"),
    libvirt.VIR_ERR_ACCESS_DENIED: (Unsupported, "libvirt on the host denies this server permission to do that"),
    libvirt.VIR_ERR_INVALID_ARG: (InvalidArgument, ""),
    libvirt.VIR_ERR_XML_ERROR: (InvalidArgument, ""),
    libvirt.VIR_ERR_XML_DETAIL: (InvalidArgument, ""),
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: (InvalidArgument, ""),
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: (Conflict, "the guest agent does not respond"),
}


def is_lost(error: Any, connection: Any) -> bool:
    """Whether a call failed because the connection was lost, rather than because libvirt refused it.

    The connection's own state is authoritative: libvirtd reports its own broken connections (to virtlogd, to QEMU) with
    the same codes. The text covers the moment before the connection has noticed the loss.
    """
    if _LOST_TEXT.search(str(error)) and error.get_error_domain() in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE):
        return True
    try:
        return bool(connection.isAlive() == 0)
    except libvirt.libvirtError:
        return True


def translate(error: Any, what: str = "") -> NovaCronError:
    """The NovaCron error for a failed libvirt call. `what` names the attempted action: `start the VM`."""
    text = plain(str(error))
    if unusable := _unusable_file(str(error), what):
        return unusable
    for pattern, kind, sentence in _BY_TEXT:
        if pattern.search(text):
            return kind(_sentence(what, sentence))
    kind, sentence = _BY_CODE.get(error.get_error_code(), (Internal, ""))
    if kind is Unsupported and not sentence:
        sentence = f"the host does not support that ({text})"
    return kind(_sentence(what, sentence or text))


def _unusable_file(message: str, what: str) -> UnusableFile | None:
    missing = _MISSING.search(message) is not None
    if not missing and not _UNREADABLE.search(message):
        return None
    unreadable = "QEMU has no permission to open a file of the VM: give QEMU's user access to its directory"
    found = UnusableFile(_sentence(what, "a disk file of the VM is missing" if missing else unreadable))
    found.message, found.missing = message, missing
    return found


def code_of(error: Any) -> int:
    """The VIR_ERR_ code of a libvirtError, 0 for none."""
    return int(error.get_error_code() or 0)


def plain(text: str) -> str:
    """The first line of a libvirt message without control characters and command lines, at most 300 characters."""
    line = next((line for line in text.splitlines() if line.strip()), "libvirt gave no reason")
    if child := _CHILD.search(line):
        line = _PATH.sub(r"\1", child[2] or "") or f"{child[1]} failed and gave no reason"
    return "".join(c for c in line.strip() if c.isprintable())[:300]


def _sentence(what: str, why: str) -> str:
    return f"cannot {what}: {why}" if what else why
