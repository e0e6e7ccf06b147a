"""Detects whether hardware virtualization works on a host.

/dev/kvm alone proves nothing: it can exist, and libvirt can offer it, on a CPU without virtualization, and guests then
hang before their firmware starts. So three things must agree: the CPU, libvirt's capabilities and, on this machine,
the device.
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
    """`kvm` where it works, else `qemu` (emulation); the operator's `override` takes precedence.

    `capabilities` returns libvirt's capabilities XML; it is called only if the result depends on it, because libvirt
    may need seconds for it. `local`: the host is this machine, so its CPU and device can be inspected directly.
    """
    if override:
        return override
    if local and not _possible_here(cpuinfo, device):
        return "qemu"
    return "kvm" if _offered(capabilities(), check_flags=not local) else "qemu"


def _possible_here(cpuinfo: Path, device: Path) -> bool:
    return device.exists() and (platform.machine() not in _X86 or _flags_here(cpuinfo))


def _flags_here(cpuinfo: Path) -> bool:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and not _FLAGS.isdisjoint(line.split()) for line in lines)


def _offered(capabilities: str, *, check_flags: bool) -> bool:
    try:
        root = parse(capabilities)
    except MalformedXML:
        return False
    if root.find("guest/arch/domain[@type='kvm']") is None:
        return False
    if not check_flags or (root.findtext("host/cpu/arch") or "x86_64") not in _X86:
        return True  # only x86 has these flags
    return any(feature.get("name") in _FLAGS for feature in root.iterfind("host/cpu/feature"))


def why_slow(device: Path = DEVICE) -> str:
    """A sentence for the operator if only root can open /dev/kvm, else an empty string.

    libvirt then discards its cached QEMU capabilities and probes again, for four to eight seconds (measured with 9.0),
    many times per definition and start. udev assigns the device to the group kvm; without udev nothing does.
    """
    if not _is_root_only(device):
        return ""
    return f"only root can open {device}, so defining a VM takes minutes: chgrp kvm {device} && chmod 660 {device}"


def _is_root_only(device: Path) -> bool:
    try:
        state = device.stat()
    except OSError:
        return False
    return stat.S_ISCHR(state.st_mode) and not state.st_mode & 0o066
