"""QEMU's log of a VM: the last run's own lines, and nothing outside of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from novacron_server.hypervisor.vms.qemu_log import MAX_LINES, last_run, read_qemu_log

RUN = r"""2026-11-26 18:39:55.123+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.0, hostname: kvm-a
LC_ALL=C \
SECRET=env \
/usr/bin/qemu-system-x86_64 \
-name guest=web,debug-threads=on \
-append 'password=secret
more secret' \
-msg timestamp=on
char device redirected to /dev/pts/0 (label charserial0)
qemu-system-x86_64: terminating
2026-11-26 18:40:00.000+0000: shutting down, reason=crashed
"""
OWN = [
    "char device redirected to /dev/pts/0 (label charserial0)",
    "qemu-system-x86_64: terminating",
    "2026-11-26 18:40:00.000+0000: shutting down, reason=crashed",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log folder of the user's own daemon."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "libvirt/qemu/log"
    path.mkdir(parents=True)
    return path


async def read(name: str) -> tuple[list[str], str]:
    return await read_qemu_log("qemu:///session", name)


async def test_only_the_last_run_is_shown_without_its_command_line(folder: Path) -> None:
    (folder / "web.log").write_text("an earlier line\n" + RUN.replace("terminating", "EARLIER") + RUN)
    assert await read("web") == (OWN, "")


def test_last_argument_with_a_line_feed_is_not_shown() -> None:
    hostile = RUN.replace("-msg timestamp=on", "-object 'x=it'\\''s\nTOP SECRET\nend'")
    assert last_run(hostile.split("\n")) == OWN


def test_command_line_whose_begin_was_cut_is_not_shown() -> None:
    assert last_run(RUN.split("\n")[4:]) == OWN


async def test_long_log_is_read_from_its_end(folder: Path) -> None:
    (folder / "web.log").write_text(RUN + "x" * 300_000 + "\n" + "".join(f"line {n}\n" for n in range(100)))
    lines, note = await read("web")
    assert lines == [f"line {n}" for n in range(100 - MAX_LINES, 100)]
    assert note == ""
    assert (await read_qemu_log("qemu:///session", "web"))[0] == lines


@pytest.mark.parametrize("name", ["../secret", "sub/secret", "no such", "n" * 300, "link", "pipe", "folder", "nul\0"])
async def test_nothing_but_a_regular_file_of_the_folder_is_read(folder: Path, name: str) -> None:
    secret = folder.parent / "secret.log"
    secret.write_text("root:secret\n")
    (folder / "sub").mkdir()
    (folder / "sub/secret.log").write_text("root:secret\n")
    (folder / "link.log").symlink_to(secret)
    os.mkfifo(folder / "pipe.log")
    (folder / "folder.log").mkdir()
    lines, note = await read(name)
    assert lines == []
    assert note
    assert "secret" not in note


async def test_log_of_another_machine_is_not_looked_for() -> None:
    lines, note = await read_qemu_log("qemu+ssh://root@kvm-b/system", "web")
    assert (lines, "of its own machine" in note) == ([], True)
