"""By key presses: upload an image file to the server; a stopped or refused upload leaves nothing."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import administrator
from tests.support.console_keys import confirm
from tests.support.processes import NOVACRON, serve
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

LARGE_BYTES = 4 << 30


@pytest.fixture
def terminal(data_dir: Path) -> Iterator[Terminal]:
    """A console that shows the storage screen of a server."""
    with serve(data_dir) as (url, _):
        token = asyncio.run(administrator(url, data_dir))
        with Terminal([NOVACRON, "--server", url], environment={"NOVACRON_TOKEN": token}) as terminal:
            terminal.see("LIVE")
            terminal.press("4")
            terminal.see("no volumes yet|NAME")
            yield terminal
            assert "Traceback" not in terminal.text()


def images(data_dir: Path) -> set[str]:
    """The names of all files in the server's images directory, including unfinished ones."""
    return {path.name for path in (data_dir / "images").rglob("*") if path.is_file()}


def fill(terminal: Terminal, file: Path) -> None:
    terminal.press("i")
    terminal.see("Upload an image")
    terminal.type(str(file))


def test_file_is_uploaded_as_an_image(terminal: Terminal, data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "Web-1.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "8M"], check=True)
    before = images(data_dir)
    fill(terminal, tmp_path / "nothing.qcow2")
    terminal.press("ctrl+s")
    terminal.see("no such file or directory")
    terminal.press("ctrl+u")
    terminal.type(str(file))
    terminal.press("ctrl+s")
    terminal.see("web-1: 8 MiB, ready for new VMs")
    assert images(data_dir) - before == {"web-1.qcow2"}
    assert (data_dir / "images/web-1.qcow2").read_bytes() == file.read_bytes()
    fill(terminal, file)
    terminal.press("ctrl+s")
    terminal.see("An image named web-1 already exists")
    terminal.press("esc")
    confirm(terminal, "Discard your changes")
    terminal.see_no("Upload an image")
    terminal.press("1", "c")
    terminal.see("Create a VM from an image")
    terminal.see("web-1  8 MiB|alpine")


def test_leaving_the_screen_stops_the_upload_and_the_server_keeps_nothing(
    terminal: Terminal, data_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "large.raw"
    with file.open("wb") as opened:
        opened.truncate(LARGE_BYTES)
    before = images(data_dir)
    fill(terminal, file)
    terminal.press("ctrl+s")
    terminal.see(r"\d+%  \S+ left +\S+ .iB/s of 4 GiB")
    terminal.press("esc")
    terminal.see("Upload cancelled; nothing was kept")
    terminal.press("esc")
    confirm(terminal, "Discard your changes")
    terminal.see_no("Upload an image")
    wait_until(lambda: images(data_dir) == before)
