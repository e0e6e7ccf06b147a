"""Starts libvirt's daemons where no service manager does, with fake programs in a temporary root."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from novacron_server.hypervisor import start_daemons

DAEMON = """#!/usr/bin/env python3
import os, pathlib, signal, socket, sys
assert sys.argv[1:] == ["-d"]
ready, done = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(0); os.close(1); os.close(2)
    folder = pathlib.Path({folder!r})
    folder.mkdir(parents=True, exist_ok=True)
    s = socket.socket(socket.AF_UNIX); s.bind(str(folder / {socket!r})); s.listen()
    (folder / {pidfile!r}).write_text(str(os.getpid()))
    os.write(done, b"x")
    signal.alarm(30)
    signal.pause()
os.read(ready, 1)
"""


@pytest.fixture
def root(work_folder: Path) -> Iterator[Path]:
    yield work_folder
    for pidfile in work_folder.glob("run/libvirt/*.pid"):
        os.kill(int(pidfile.read_text()), signal.SIGKILL)


def install(root: Path, name: str, text: str | None = None) -> None:
    folder = root / "sbin"
    folder.mkdir(exist_ok=True)
    sock = {"libvirtd": "libvirt-sock", "virtlogd": "virtlogd-sock"}[name]
    text = text or DAEMON.format(folder=str(root / "run/libvirt"), socket=sock, pidfile=f"{name}.pid")
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def start(root: Path, *, is_root: bool = True, deadline_s: float = 10) -> list[str]:
    def which(name: str) -> str | None:
        path = root / "sbin" / name
        return str(path) if path.exists() else None

    return start_daemons(root=root, is_root=is_root, which=which, deadline_s=deadline_s)


def test_both_daemons_are_started_once_and_reported(root: Path) -> None:
    install(root, "libvirtd")
    install(root, "virtlogd")
    said = start(root)
    assert [s.split()[0] for s in said] == ["virtlogd", "libvirtd"]
    assert all("started it" in s for s in said)
    assert (root / "var/log/libvirt").is_dir()
    assert start(root) == []


def test_running_libvirtd_is_left_alone(root: Path) -> None:
    install(root, "libvirtd", "#!/bin/sh\nexit 1\n")
    (root / "run/libvirt").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "run/libvirt/libvirt-sock"))
        listener.listen()
        assert start(root) == []


def test_nothing_is_started_with_a_service_manager_or_without_root(root: Path) -> None:
    install(root, "libvirtd")
    assert start(root, is_root=False) == []
    (root / "run/systemd/system").mkdir(parents=True)
    assert start(root) == []


def test_nothing_is_started_if_nothing_is_installed(root: Path) -> None:
    assert start(root) == []


def test_failing_daemon_is_named_with_the_reason(root: Path) -> None:
    install(root, "libvirtd", "#!/bin/sh\necho 'no room at the inn' >&2\nexit 3\n")
    said = start(root, deadline_s=0.2)
    assert said[0] == "libvirtd could not be started: no room at the inn"
    assert said[1].startswith("libvirtd does not respond")


def test_daemon_that_exits_silently_is_reported(root: Path) -> None:
    install(root, "libvirtd", "#!/bin/sh\nexit 0\n")
    assert start(root, deadline_s=0.2)[-1].startswith("libvirtd does not respond")
