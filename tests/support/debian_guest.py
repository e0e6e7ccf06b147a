"""A home-made Debian guest: systemd, a login on the serial line, top, less and vim. Built once, by mmdebstrap.

It is installed from the machine's own APT sources. The disk needs no mount (`mke2fs -d`) and no boot loader: the kernel and
its initrd lie beside it, as NovaCron's images may have them. A build takes one to two minutes, and is kept.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT_PASSWORD = "a-password-of-debian"
PROMPT = "root@debian-guest:"
_SUITE = "bookworm"
_PACKAGES = "linux-image-cloud-amd64,systemd-sysv,udev,procps,less,vim-tiny,netbase"
_DISK = "1536M"
_CMDLINE = "root=/dev/vda rw console=ttyS0 quiet loglevel=3"
_SET_UP = f"""
echo debian-guest > "$1/etc/hostname"
echo 'root:{ROOT_PASSWORD}' | chroot "$1" chpasswd
chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer e2scrub_reap.service
rm -rf "$1"/usr/share/doc/* "$1"/usr/share/locale/* "$1"/var/cache/apt/*.bin
"""
"""What mmdebstrap's hook does, with the guest's root as its argument. The masked units would be busy after a boot."""
_CACHE = Path(__file__).parents[2] / ".tools/debian-guest"
_FILES = ("qcow2", "kernel", "initrd", "cmdline")


def add_debian_image(images: Path) -> None:
    """Put the image `a-debian`, the first one by name, into a server's images directory; build it if there is none yet.
    Skips the test where it cannot be built."""
    recipe = hashlib.sha256("\n".join((_SUITE, _PACKAGES, _DISK, _CMDLINE, _SET_UP)).encode()).hexdigest()[:16]
    kept = _CACHE / recipe
    if not all((kept / name).exists() for name in _FILES):
        _build(kept)
    images.mkdir(exist_ok=True)
    for name in _FILES:
        path = images / f"a-debian.{name}"
        shutil.copy(kept / name, path)
        os.utime(path, (0, 0))  # a new file would be looked at twice, in case it is still being written


def _build(kept: Path) -> None:
    _require_tools()
    sources = _sources()
    with tempfile.TemporaryDirectory(prefix="novacron-debian-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # APT downloads as a user of its own
        root, made = folder / "root", folder / "made"
        made.mkdir()
        hook = folder / "hook"
        hook.write_text(f"#!/bin/sh\nset -eu\n{_SET_UP}")
        hook.chmod(0o755)
        _run("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}", f"--customize-hook={hook}",
             _SUITE, str(root), *map(str, sources), temporary=folder)  # fmt: skip
        for kind, pattern in (("kernel", "boot/vmlinuz-*"), ("initrd", "boot/initrd.img-*")):
            shutil.copyfile(next(root.glob(pattern)), made / kind)
        (made / "cmdline").write_text(_CMDLINE)
        raw = folder / "raw"
        _run("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(raw), _DISK)
        _run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(made / "qcow2"))
        for path in made.iterdir():
            path.chmod(0o644)
        shutil.rmtree(_CACHE, ignore_errors=True)  # those of earlier recipes
        _CACHE.mkdir(parents=True)
        new = _CACHE / f"new-{os.getpid()}"
        shutil.move(made, new)
        new.rename(kept)  # whole or not at all


def _require_tools() -> None:
    """Install mmdebstrap, which nothing but this guest needs, so `make setup` does not."""
    if os.geteuid() != 0:
        pytest.skip("building the Debian guest needs root; once it is built, it is kept")
    if shutil.which("mmdebstrap"):
        return
    if not shutil.which("apt-get"):
        pytest.skip("building the Debian guest needs mmdebstrap: install it with your package manager")
    print("installing mmdebstrap, for the Debian guest of this test", file=sys.stderr)
    _run("apt-get", "update", "-qq")
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "mmdebstrap")


def _sources() -> list[Path]:
    """The machine's own APT sources of the guest's release."""
    apt = Path("/etc/apt")
    candidates = [apt / "sources.list", *(apt / "sources.list.d").glob("*.list"), *apt.glob("sources.list.d/*.sources")]
    found = [path for path in candidates if path.exists() and _SUITE in path.read_text()]
    if not found:
        pytest.skip(f"building the Debian guest needs APT sources of {_SUITE}, and this machine has none")
    return found


def _run(*command: str, temporary: Path | None = None) -> None:
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        **({"TMPDIR": str(temporary)} if temporary else {}),
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200, env=environment)
    if done.returncode:
        pytest.fail(f"{command[0]} failed with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
