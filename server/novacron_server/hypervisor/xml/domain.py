"""Converts a DomainSpec to libvirt's domain XML (https://libvirt.org/formatdomain.html)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID
from xml.etree import ElementTree as ET

import msgspec

from novacron_core.errors import InvalidArgument
from novacron_core.values.names import why_not_name_on_host
from novacron_server.hypervisor.specs import DiskSpec, DomainSpec, NICSpec, mac_for
from novacron_server.hypervisor.xml.document import child, write
from novacron_server.hypervisor.xml.metadata import tag_element
from novacron_server.hypervisor.xml.serial import add_log

_TARGET = re.compile(r"vd[a-z]")
_SPARE_PORTS = 8
"""How many disks can be attached to a running VM; by default libvirt gives a new q35 VM a free port for one."""
_BUILT_IN_DEVICES = 4
"""Devices of every VM that use a port: USB, the agent's virtio-serial, balloon, random number generator."""
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")


class DiskSource(msgspec.Struct, frozen=True):
    """The location of a disk's volume on the host."""

    path: str
    block: bool = False


def domain_xml(spec: DomainSpec, sources: Sequence[DiskSource]) -> str:
    """The definition of a domain; `sources` are its disks' locations, in order.

    Raises InvalidArgument for an invalid name, number or text.
    """
    _check(spec, sources)
    root = ET.Element("domain", {"type": spec.virtualization})
    child(root, "name", spec.name)
    child(root, "uuid", spec.uuid)
    if spec.tag is not None:
        child(root, "metadata").append(tag_element(spec.tag))
    if spec.description:
        child(root, "description", spec.description)
    child(root, "memory", str(spec.memory_bytes // 1024), unit="KiB")
    child(root, "vcpu", str(spec.vcpus))
    _machine(root, spec)
    # A crashed guest is preserved for inspection, shown as crashed, until it is reset or powered off.
    for event, reaction in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "preserve")):
        child(root, f"on_{event}", reaction)
    devices = child(root, "devices")
    if _is_q35(spec):
        _ports(devices, len(spec.disks) + len(spec.nics) + _BUILT_IN_DEVICES + _SPARE_PORTS)
    for disk, source in zip(spec.disks, sources, strict=True):
        add_disk(devices, disk, source)
    for index, nic in enumerate(spec.nics):
        _nic(devices, nic, nic.mac or mac_for(spec.uuid, index))
    _console_and_screen(devices, spec)
    return write(root)


def _check(spec: DomainSpec, sources: Sequence[DiskSource]) -> None:
    if refusal := why_not_name_on_host(spec.name):
        raise InvalidArgument(refusal)
    try:
        UUID(spec.uuid)
    except ValueError:
        raise InvalidArgument("the id of a VM must be a UUID") from None
    if spec.vcpus < 1 or spec.memory_bytes < 1024:
        raise InvalidArgument("a VM needs at least one vCPU and some memory")
    if len({disk.target for disk in spec.disks}) != len(spec.disks):
        raise InvalidArgument("two disks of the VM have the same target")
    if not all(_TARGET.fullmatch(disk.target) for disk in spec.disks):
        raise InvalidArgument("a disk's target must be vda, vdb and so on")
    if not all(_MAC.fullmatch(nic.mac) for nic in spec.nics if nic.mac):
        raise InvalidArgument("a MAC address must look like 52:54:00:12:34:56")
    paths = [source.path for source in sources] + [path for path in (spec.kernel, spec.initrd) if path]
    if spec.console_log:
        paths.append(spec.console_log)
    if not all(path.startswith("/") for path in paths):
        raise InvalidArgument("a disk, kernel, initrd or log must be given by its absolute path on the host")


def _machine(root: ET.Element, spec: DomainSpec) -> None:
    system = child(root, "os")
    kind = {"arch": spec.architecture}
    if _is_q35(spec):
        kind["machine"] = "q35"
    child(system, "type", "hvm", **kind)
    for name in ("kernel", "initrd", "cmdline"):
        if value := getattr(spec, name):
            child(system, name, value)
    if spec.disks and not spec.kernel:
        child(system, "boot", dev="hd")
    features = child(root, "features")
    child(features, "acpi")
    if spec.architecture == "x86_64":
        child(features, "apic")
    if spec.virtualization == "kvm":
        child(root, "cpu", mode="host-model")
    elif spec.virtualization == "qemu":
        # QEMU's default emulated CPU is too old for current distributions (x86-64-v2).
        child(root, "cpu", mode="maximum")
    child(root, "clock", offset="utc")


def _is_q35(spec: DomainSpec) -> bool:
    return spec.architecture == "x86_64" and spec.virtualization != "test"


def _ports(devices: ET.Element, count: int) -> None:
    """Add root ports: PCI Express hot-plugs only into ports that the machine started with (libvirt: pci-hotplug)."""
    child(devices, "controller", type="pci", index="0", model="pcie-root")
    for _ in range(count):
        child(devices, "controller", type="pci", model="pcie-root-port")


def add_disk(devices: ET.Element, spec: DiskSpec, source: DiskSource) -> ET.Element:
    """Append a disk. Raises InvalidArgument.

    By path, not by pool and volume: AppArmor's helper and external snapshots do not support the latter.
    """
    disk = child(devices, "disk", type="block" if source.block else "file", device="disk")
    # The format is always set: if QEMU probed it, a guest could write a header that opens a file of the host.
    child(disk, "driver", name="qemu", type=spec.format, discard="unmap")
    child(disk, "source", **{"dev" if source.block else "file": source.path})
    child(disk, "target", dev=spec.target, bus="virtio")
    if spec.read_only:
        child(disk, "readonly")
    return disk


def _nic(devices: ET.Element, spec: NICSpec, mac: str) -> None:
    user = spec.network == "user"
    interface = child(devices, "interface", type="user" if user else "network")
    child(interface, "mac", address=mac)
    if not user:
        child(interface, "source", network=spec.network)
    child(interface, "model", type="virtio")


def _console_and_screen(devices: ET.Element, spec: DomainSpec) -> None:
    serial = child(devices, "serial", type="pty")
    if spec.architecture == "x86_64":
        child(serial, "target", type="isa-serial", port="0")
    if spec.console_log:
        add_log(serial, spec.console_log)
    child(child(devices, "console", type="pty"), "target", type="serial", port="0")
    agent = child(devices, "channel", type="unix")
    child(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    # A display for screenshots, reachable only through libvirt's socket: no port is opened.
    child(child(devices, "graphics", type="vnc"), "listen", type="socket")
    child(child(devices, "video"), "model", type="vga" if spec.architecture == "x86_64" else "virtio")
    child(child(devices, "memballoon", model="virtio"), "stats", period="5")
    child(child(devices, "rng", model="virtio"), "backend", "/dev/urandom", model="random")
    if _is_q35(spec):
        child(devices, "panic", model="isa")
