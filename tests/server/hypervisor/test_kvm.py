"""KVM is chosen only where CPU, libvirt and device agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from novacron_server.hypervisor.connection.kvm import choose, why_slow

OFFERS = (
    "<capabilities><host><cpu><arch>{arch}</arch>{feature}</cpu></host>"
    "<guest><arch name='x86_64'><domain type='qemu'/>{domain}</arch></guest></capabilities>"
)
KVM = "<domain type='kvm'/>"
VMX = "<feature name='vmx'/>"


def offers(*, arch: str = "x86_64", feature: str = "", domain: str = KVM) -> str:
    return OFFERS.format(arch=arch, feature=feature, domain=domain)


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """A /proc/cpuinfo with the flag, and a device."""
    cpuinfo, device = tmp_path / "cpuinfo", tmp_path / "kvm"
    cpuinfo.write_text("processor : 0\nflags\t\t: fpu vmx sse\n")
    device.touch()
    return cpuinfo, device


def test_local_kvm_needs_cpu_libvirt_and_device(machine: tuple[Path, Path], tmp_path: Path) -> None:
    cpuinfo, device = machine
    plain = tmp_path / "plain"
    plain.write_text("flags : fpu sse vmxish\n")
    assert choose(offers, local=True, cpuinfo=cpuinfo, device=device) == "kvm"
    assert choose(offers, local=True, cpuinfo=plain, device=device) == "qemu"
    assert choose(offers, local=True, cpuinfo=cpuinfo, device=tmp_path / "none") == "qemu"
    assert choose(lambda: offers(domain=""), local=True, cpuinfo=cpuinfo, device=device) == "qemu"
    assert choose(lambda: "no document", local=True, cpuinfo=cpuinfo, device=device) == "qemu"


def test_remote_kvm_follows_the_capabilities(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"cpuinfo": tmp_path / "none", "device": tmp_path / "none"}
    assert choose(lambda: offers(feature=VMX), local=False, **nothing) == "kvm"
    assert choose(lambda: offers(feature="<feature name='svm'/>"), local=False, **nothing) == "kvm"
    assert choose(offers, local=False, **nothing) == "qemu"
    assert choose(lambda: offers(arch="aarch64"), local=False, **nothing) == "kvm"


def test_override_takes_precedence_without_reading_capabilities() -> None:
    def read_capabilities() -> str:
        raise AssertionError

    assert choose(read_capabilities, local=False, override="kvm") == "kvm"
    assert choose(read_capabilities, local=False, override="qemu") == "qemu"


def test_capabilities_are_not_read_without_hardware_support(tmp_path: Path) -> None:
    def read_capabilities() -> str:
        raise AssertionError

    assert choose(read_capabilities, local=True, cpuinfo=tmp_path / "none", device=tmp_path / "none") == "qemu"


def test_only_a_root_only_device_is_slow(tmp_path: Path) -> None:
    assert why_slow(tmp_path / "none") == ""
    assert why_slow(Path("/dev/null")) == ""
    plain = tmp_path / "plain"
    plain.touch(0o600)
    assert why_slow(plain) == ""
