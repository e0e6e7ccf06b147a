"""Does hardware virtualization really work on a host?

/dev/kvm alone says nothing: it can exist, and be offered by libvirt, where the CPU cannot do it, and guests then
hang before their firmware. So three things must agree: the CPU, libvirt's capabilities and, here, the device.
"""

from __future__ import annotations

import platform
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from novacron_server.hypervisor.xml.document import MalformedXML, parse

CPUINFO = Path("/proc/cpuinfo")
DEVICE = Path("/dev/kvm")
_FLAGS = {"vmx", "svm"}
_X86 = ("x86_64", "i686")


def choose(
    capabilities: Callable[[], str],
    *,
    local: bool,
    override: Literal["kvm", "qemu"] | None = None,
    cpuinfo: Path = CPUINFO,
    device: Path = DEVICE,
) -> Literal["kvm", "qemu"]:
    """`kvm` where it works, else `qemu` (emulation); what the operator says (`override`) comes first.

    `capabilities` gives libvirt's document on the host; it is asked only where the answer matters, because libvirt
    may take seconds over it. `local` says that the host is this machine, so that it can be looked at directly.
    """
    if override:
        return override
    if local and not _possible_here(cpuinfo, device):
        return "qemu"
    return "kvm" if _offered(capabilities(), look_for_flags=not local) else "qemu"


def _possible_here(cpuinfo: Path, device: Path) -> bool:
    return device.exists() and (platform.machine() not in _X86 or _flags_here(cpuinfo))


def _flags_here(cpuinfo: Path) -> bool:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and not _FLAGS.isdisjoint(line.split()) for line in lines)


def _offered(capabilities: str, *, look_for_flags: bool) -> bool:
    try:
        root = parse(capabilities)
    except MalformedXML:
        return False
    if root.find("guest/arch/domain[@type='kvm']") is None:
        return False
    if not look_for_flags or (root.findtext("host/cpu/arch") or "x86_64") not in _X86:
        return True  # the flags are a matter of x86 alone
    return any(feature.get("name") in _FLAGS for feature in root.iterfind("host/cpu/feature"))


def why_slow(device: Path = DEVICE) -> str:
    """A sentence for the operator when /dev/kvm is root's alone, else nothing.

    libvirt then never trusts what it found out about QEMU and asks again, for four to eight seconds (measured with
    9.0), many times at each definition and start. udev gives the device to the group kvm; without udev nobody does.
    """
    if not _is_roots_alone(device):
        return ""
    return f"{device} is root's alone, so every VM takes minutes to define: chgrp kvm {device} && chmod 660 {device}"


def _is_roots_alone(device: Path) -> bool:
    try:
        state = device.stat()
    except OSError:
        return False
    return stat.S_ISCHR(state.st_mode) and not state.st_mode & 0o066
