"""By key presses on a real guest: from an uploaded image to its shell and back, with a colleague who takes over."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from novacron_core.client import Client
from novacron_core.local_server import read_running_server
from tests.support.accounts import PASSWORD
from tests.support.console_keys import confirm, make_administrator, sign_in_again
from tests.support.consoles import SHELL
from tests.support.fair_clock import fair_now
from tests.support.initrd import copy_kernel, write_initrd
from tests.support.processes import NOVACRON
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]
Console = Callable[..., Terminal]
DETACH = "\x1d"


def upload_image(terminal: Terminal, data_dir: Path, tmp_path: Path) -> None:
    """Upload the disk; a kernel that boots by itself lies in the server's directory of images."""
    images = data_dir / "images"
    images.mkdir(exist_ok=True)
    copy_kernel(images).rename(images / "a-shell.kernel")
    write_initrd(images, SHELL).rename(images / "a-shell.initrd")
    (images / "a-shell.cmdline").write_text("console=ttyS0 quiet")
    file = tmp_path / "a-shell.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(file), "16M"], check=True)
    terminal.press("4")
    terminal.see("no volumes yet|NAME")
    terminal.press("i")
    terminal.see("Upload an image")
    terminal.type(str(file))
    terminal.press("ctrl+s")
    terminal.see("a-shell: 16 MiB, ready for new VMs", 30)


def wait_for_shell(terminal: Terminal) -> None:
    """Wait for the prompt. It may have been printed before the console was open: enter makes the shell print another."""
    end = fair_now() + 240
    while "tiny#" not in terminal.text():
        assert fair_now() < end, terminal.text()
        terminal.press("enter")
        terminal.read(1.0)


def test_from_an_uploaded_image_to_a_shell_and_back(
    console: Console, qemu: libvirt.virConnect, data_dir: Path, tmp_path: Path
) -> None:
    terminal = console("--hypervisor", "qemu:///system", columns=120, rows=36)
    make_administrator(terminal)
    upload_image(terminal, data_dir, tmp_path)
    terminal.press("1", "c")
    terminal.see("Create a VM from an image")
    terminal.see("a-shell  16 MiB")
    terminal.type("tiny")
    terminal.press("ctrl+s")
    terminal.see("tiny .*● running", 60)

    terminal.press(".")
    terminal.see("TYPING", 60)
    terminal.see("leaves the guest")
    wait_for_shell(terminal)
    terminal.type("echo IT-IS-$((40+2)) $(uname -s)")
    terminal.press("enter")
    terminal.see("IT-IS-42 Linux", 30)
    terminal.type("q1:?")  # none of these keys is the console's own
    terminal.see(r"tiny# q1:\?")
    terminal.press("ctrl+c")

    terminal.send(DETACH)
    terminal.see("types into the guest")
    terminal.react()
    terminal.press("esc")
    terminal.see("NAME")
    terminal.press(".")
    terminal.see("IT-IS-42 Linux", 30)
    terminal.see("TYPING")

    second = console("--hypervisor", "qemu:///system", columns=100, rows=30)
    sign_in_again(second)
    second.see("tiny .*● running", 30)
    second.press("/")  # others' guests may come and go on this host
    second.type("tiny")
    second.press("enter")
    second.press(".")
    second.see("ann is typing: press W to take over", 30)
    second.see("IT-IS-42 Linux")
    second.react()
    second.press("W")
    confirm(second, "Take over from ann")
    second.see("TYPING", 30)
    terminal.see("ann has taken over the console", 30)
    second.type("echo TAKEN-$((6*7))")
    second.press("enter")
    second.see("TAKEN-42", 30)
    terminal.see("TAKEN-42", 30)
    second.send(DETACH)
    second.see("types into the guest")
    second.react()
    second.press("q")
    assert second.wait_end(10) == 0
    raw_in_another_terminal(data_dir, tmp_path, terminal)

    type_again(terminal)
    terminal.type("echo c > /proc/sysrq-trigger")
    terminal.press("enter")
    terminal.see("Kernel panic", 60)
    os.kill(int(Path("/run/libvirt/qemu/tiny.pid").read_text()), signal.SIGSEGV)
    terminal.see("the VM is crashed|shows the console when the VM runs", 60)
    terminal.send(DETACH)
    terminal.see("off:")
    terminal.react()
    terminal.press("tab")
    terminal.see("Last words on the console", 30)
    terminal.see("Kernel panic - not syncing", 30)
    terminal.press("L")
    terminal.see("sysrq: Trigger a crash", 30)


def type_again(console: Terminal) -> None:
    """After a takeover: keys go nowhere until escape, and never to the VM."""
    console.see("esc lets keys act on the VM again")
    console.type("x")
    console.see("not typed:")
    console.press("esc")
    console.see("types into the guest", 30)
    console.react()
    console.press(".")
    console.see("TYPING", 30)


def raw_in_another_terminal(data_dir: Path, tmp_path: Path, console: Terminal) -> None:
    """`novacron console`: in a terminal with a takeover and a log, and with piped input."""
    running = read_running_server(data_dir)
    assert running is not None

    async def token() -> str:
        async with Client(running.url) as client:
            return (await client.sign_in("ann", PASSWORD)).token

    environment = {"NOVACRON_SERVER": running.url, "NOVACRON_TOKEN": asyncio.run(token())}
    log = tmp_path / "tiny.log"
    command = [NOVACRON, "console", "tiny", "--take-over", "--send-size", "--log", str(log)]
    type_again(console)
    with Terminal(command, columns=90, rows=28, environment=environment) as raw:
        raw.see("console of tiny: ctrl.] leaves it", 30)
        raw.see("you type now instead of ann", 30)
        console.see("ann has taken over the console", 30)
        raw.type("stty size; echo RAW-$((6*7))")
        raw.press("enter")
        raw.see("RAW-42", 30)
        raw.press("ctrl+c")
        raw.send(DETACH)
        raw.see("left the console", 30)
        assert raw.wait_end(10) == 0
    assert b"RAW-42" in log.read_bytes()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    done = subprocess.run(
        [NOVACRON, "console", "tiny"], input=b"echo PIPED-$((20+3))\n", capture_output=True, timeout=120, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert (done.returncode, b"PIPED-23" in done.stdout) == (0, True), done
    missing = subprocess.run(
        [NOVACRON, "console", "nobody"], capture_output=True, timeout=60, check=False, env={**os.environ, **environment}
    )
    assert (missing.returncode, b"nobody" in missing.stderr) == (1, True), missing
