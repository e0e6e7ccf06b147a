"""Starts libvirt's daemons where nobody else does: as root, on a machine without a service manager.

Nothing here ever stops them: other programs may use them by then.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)
_DEADLINE_S = 15.0


def start_daemons(
    *,
    root: Path = Path("/"),
    is_root: bool | None = None,
    which: Callable[[str], str | None] | None = None,
    deadline_s: float = _DEADLINE_S,
) -> list[str]:
    """Starts virtlogd and libvirtd when they are installed, not running, and ours to start.

    Returns what was done or found wrong, as sentences for the operator; an empty list when there was nothing to do.
    Blocks until libvirtd answers or `deadline_s` seconds have passed.
    """
    # sd_booted(3): this directory exists exactly where systemd is the service manager.
    if not (os.geteuid() == 0 if is_root is None else is_root) or (root / "run/systemd/system").is_dir():
        return []
    main = root / "run/libvirt/libvirt-sock"
    libvirtd = (which or _which)("libvirtd")
    if libvirtd is None or _answers(main):
        return []
    (root / "var/log/libvirt").mkdir(mode=0o711, parents=True, exist_ok=True)
    said = []
    virtlogd = (which or _which)("virtlogd")
    if virtlogd is not None and not _answers(root / "run/libvirt/virtlogd-sock"):
        said.append(_launch(virtlogd, "virtlogd"))
    said.append(_launch(libvirtd, "libvirtd"))
    if not _wait(main, deadline_s):
        said.append(_why_silent(root))
    for sentence in said:
        _log.info(sentence)
    return said


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(path))
    except OSError:
        return False
    return True


def _launch(program: str, name: str) -> str:
    try:
        done = subprocess.run([program, "-d"], stdin=subprocess.DEVNULL, capture_output=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name} could not be started: {error}"
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return f"{name} could not be started: {lines[-1] if lines else f'exit {done.returncode}'}"
    return f"{name} was not running and was started, because no service manager is there to do it"


def _wait(path: Path, deadline_s: float) -> bool:
    end = time.monotonic() + deadline_s
    while not _answers(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _why_silent(root: Path) -> str:
    try:
        pwd.getpwnam("libvirt-qemu")
    except KeyError:
        # Debian's libvirtd exits at once without it, and only this package makes it.
        return "libvirtd does not answer: the user libvirt-qemu is missing, install libvirt-daemon-system"
    return f"libvirtd does not answer: see {root / 'var/log/libvirt/libvirtd.log'}"
