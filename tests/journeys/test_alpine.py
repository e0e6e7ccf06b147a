"""The main workflow by key presses, on real QEMU: create a VM from an image, log in, shut it down and delete it."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from novacron_core.local_server import read_running_server
from tests.support.busy_guest import Serial
from tests.support.console_keys import confirm, make_administrator, sign_in_again
from tests.support.fair_clock import fair_now
from tests.support.libvirt_hosts import QEMU, own_pools
from tests.support.processes import rows, stop_server
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
Console = Callable[..., Terminal]
RUNNING, SHUTOFF = libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_SHUTOFF


def create(terminal: Terminal, name: str) -> None:
    terminal.press("c")
    terminal.see("Create a VM from an image.*")
    terminal.see("alpine")
    terminal.type(name)
    terminal.press("ctrl+s")


def libvirt_state(connection: libvirt.virConnect, name: str) -> int | None:
    try:
        return int(connection.lookupByName(name).state()[0])
    except libvirt.libvirtError:
        return None


def log_in(terminal: Terminal, name: str) -> None:
    """Log in to the guest on its serial console by what the VM's page says, and look around there."""
    terminal.press("enter")
    terminal.see("vda +1 GiB")
    terminal.see("created by ann")
    login = re.search(r"login (\w+), password (\w+) ", terminal.line("description"))
    assert login is not None, terminal.text()
    user, password = login.groups()
    terminal.see(f"novacron console {name} ")
    terminal.press("esc")
    terminal.see("NAME")
    serial = Serial(QEMU, name)

    def see(pattern: str, timeout_s: float = 180) -> str:
        """Wait for the guest, and read the console's output meanwhile: unread, it would block the console."""
        wait_until(lambda: terminal.read(0.2) >= 0 and re.search(pattern, serial.text) is not None, timeout_s)
        return serial.see(pattern, 0.1)

    try:
        serial.type("")  # a prompt that is there already is shown again
        see("alpine login:", 600)  # emulated, on a machine that runs other guests
        serial.type(user)
        see("assword:")
        serial.type(password)
        see("alpine:~# ")
        serial.type("echo IT IS $(hostname) $(id -un) $(ip -4 addr show eth0 | grep -c dynamic)")
        assert see(r"IT IS (\w+ \w+ \d)") == "alpine root 1"
    finally:
        serial.close()
    terminal.see("LIVE")


@pytest.mark.usefixtures("demo_guest")
def test_vm_is_created_from_an_image_run_shut_down_and_deleted(
    console: Console, qemu: libvirt.virConnect, data_dir: Path
) -> None:
    terminal = console("--hypervisor", "qemu:///system")
    make_administrator(terminal)
    alone = not qemu.listAllDomains()  # unmanaged guests of this host are in the list, too
    terminal.see("c +create a VM from an image +alpine is ready" if alone else "MEM USED")

    create(terminal, "journey-01")
    terminal.see("journey-01 .*● running", 60)
    assert (rows(data_dir, "vms"), rows(data_dir, "volumes")) == (1, 3)
    assert libvirt_state(qemu, "journey-01") == RUNNING
    assert "qemu" in qemu.lookupByName("journey-01").XMLDesc() or "kvm" in qemu.lookupByName("journey-01").XMLDesc()

    terminal.press("p")
    terminal.see("journey-01 .*paused")
    assert libvirt_state(qemu, "journey-01") == libvirt.VIR_DOMAIN_PAUSED
    terminal.press("p")
    terminal.see("journey-01 .*● running")

    terminal.press("s")
    terminal.see("journey-01 is already running")
    terminal.press("D")
    terminal.see("shut it down first")
    terminal.react()

    log_in(terminal, "journey-01")
    terminal.press("x")
    terminal.see("journey-01 .*stopped", 180)
    terminal.see("journey-01: shut down")
    assert libvirt_state(qemu, "journey-01") == SHUTOFF

    terminal.press("D")
    terminal.see("Delete journey-01")
    terminal.press("space")
    terminal.see("Type journey-01")
    terminal.type("journey-01")
    confirm(terminal, "Type journey-01", "enter")
    if alone:
        terminal.see("no VMs yet", 30)
    wait_until(lambda: libvirt_state(qemu, "journey-01") is None)

    # The VM leaves the screen at once; the disks and the rows are removed afterwards.
    wait_until(lambda: (rows(data_dir, "vms"), rows(data_dir, "volumes")) == (0, 0))
    disks = [file.name for file in (data_dir / "pools").rglob("*") if file.is_file()]
    assert disks == []
    pools = own_pools(qemu, data_dir)
    assert [pool.listVolumes() for pool in pools] == [[]] * len(pools)
    assert all(pool.name().startswith("novacron-") for pool in pools)
    terminal.press("q")
    assert terminal.wait_end(10) == 0


def test_change_outside_novacron_is_shown_at_once(console: Console, qemu: libvirt.virConnect) -> None:
    terminal = console("--hypervisor", "qemu:///system")
    make_administrator(terminal)
    domain = qemu.createXML(
        "<domain type='qemu'><name>behind-our-back</name><memory unit='MiB'>32</memory>"
        "<description>[/red] &lt;b&gt; \u009b31m \u202e</description>"
        "<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='none'/></devices></domain>"
    )
    try:
        terminal.see("behind-our-back.*running", 15)
        domain.suspend()
        terminal.see("behind-our-back.*paused", 10)
    finally:
        domain.destroy()
    terminal.see_no("behind-our-back.*(running|paused)", 10)


def test_two_consoles_share_the_bundled_server_and_it_stops_after_the_last(console: Console, data_dir: Path) -> None:
    short = {"NOVACRON_IDLE_STOP_S": "2"}
    first = console("--hypervisor", "test:///default", environment=short)
    make_administrator(first)
    first.see("SIMULATED")
    running = read_running_server(data_dir)
    assert running is not None
    second = console(environment=short)
    sign_in_again(second)
    assert read_running_server(data_dir) == running
    first.press("q")
    assert first.wait_end(10) == 0
    time.sleep(3)
    assert read_running_server(data_dir) == running
    second.press("q")
    assert second.wait_end(10) == 0
    deadline = fair_now() + 15
    while read_running_server(data_dir) is not None:
        assert fair_now() < deadline, "the bundled server does not stop"
        time.sleep(0.1)


@pytest.mark.usefixtures("demo_guest")
def test_server_killed_during_a_creation_completes_it_after_its_restart(
    console: Console, qemu: libvirt.virConnect, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:uploaded=crash")
    first = console("--hypervisor", "qemu:///system")
    make_administrator(first)
    create(first, "half-made")
    first.see("(?i)stale|offline", 30)
    made = sorted(file.name for file in (data_dir / "pools").rglob("half-made*"))
    assert made != []
    assert libvirt_state(qemu, "half-made") is None
    first.press("ctrl+q")
    monkeypatch.delenv("NOVACRON_FAILPOINTS")
    stop_server(data_dir, how=signal.SIGKILL)
    second = console("--hypervisor", "qemu:///system")
    sign_in_again(second)
    second.see("half-made .*● running", 60)
    assert sorted(file.name for file in (data_dir / "pools").rglob("half-made*")) == made
    assert (rows(data_dir, "vms"), rows(data_dir, "volumes")) == (1, 3)
    stop_server(data_dir, how=signal.SIGKILL)
    assert libvirt_state(qemu, "half-made") == RUNNING
