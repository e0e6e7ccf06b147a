"""Starts libvirt's daemons where nothing else does: as root, on a machine without a service manager.

They are never stopped here: other programs may be using them.
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
    """Start virtlogd and libvirtd if they are installed, not running, and not managed by a service manager.

    Returns what was done and what failed, as sentences for the operator; an empty list if there was nothing to do.
    Blocks until libvirtd responds or `deadline_s` seconds have passed.
    """
    # sd_booted(3): this directory exists exactly where systemd is the service manager.
    if not (os.geteuid() == 0 if is_root is None else is_root) or (root / "run/systemd/system").is_dir():
        return []
    main = root / "run/libvirt/libvirt-sock"
    libvirtd = (which or _which)("libvirtd")
    if libvirtd is None or _responds(main):
        return []
    (root / "var/log/libvirt").mkdir(mode=0o711, parents=True, exist_ok=True)
    messages = []
    virtlogd = (which or _which)("virtlogd")
    if virtlogd is not None and not _responds(root / "run/libvirt/virtlogd-sock"):
        messages.append(_launch(virtlogd, "virtlogd"))
    messages.append(_launch(libvirtd, "libvirtd"))
    if not _wait(main, deadline_s):
        messages.append(_why_no_response(root))
    for message in messages:
        _log.info(message)
    return messages


def _which(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _responds(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(2)
            probe.connect(str(path))
    except OSError:
        return False
    return True


def _launch(program: str, name: str) -> str:
    try:
        result = subprocess.run([program, "-d"], stdin=subprocess.DEVNULL, capture_output=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name} could not be started: {error}"
    if result.returncode:
        lines = result.stderr.decode(errors="replace").strip().splitlines()
        return f"{name} could not be started: {lines[-1] if lines else f'exit code {result.returncode}'}"
    return f"{name} was not running: started it, because this machine has no service manager"


def _wait(path: Path, deadline_s: float) -> bool:
    end = time.monotonic() + deadline_s
    while not _responds(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _why_no_response(root: Path) -> str:
    try:
        pwd.getpwnam("libvirt-qemu")
    except KeyError:
        # Without this user Debian's libvirtd exits at once, and only this package creates it.
        return "libvirtd does not respond: the user libvirt-qemu is missing. Install libvirt-daemon-system"
    return f"libvirtd does not respond: see {root / 'var/log/libvirt/libvirtd.log'}"
