"""By key presses on a real guest that computes and writes: its disk moves hot → cold → hot without a loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import libvirt
import pytest

from tests.support.busy_guest import Serial, checksum_of, write_busy_image
from tests.support.console_keys import make_administrator
from tests.support.fleet_list import read_until
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(600)]
Console = Callable[..., Terminal]
IMAGE = "a-guest-that-works"
"""The first image by name, so that the form selects it."""


def files(data_dir: Path) -> set[tuple[str, str]]:
    """The (tier, name) pairs of all disk files."""
    return {(path.parent.name, path.name) for path in (data_dir / "pools").rglob("move-01*.qcow2*")}


def move(terminal: Terminal, tier: str) -> None:
    """Move the volume under the cursor, and wait until its row shows the new tier."""
    terminal.press("m")
    terminal.see("It is copied")
    terminal.react()
    for _ in range(3):
        shown = terminal.line(r"^.*\bTo\b").strip()
        if tier in shown:
            break
        terminal.press("enter", "down", "enter")
        terminal.react()  # the open list covers the line meanwhile
    terminal.press("ctrl+s")
    # Do not wait for "accepted": so small a disk may have moved before the response arrives.
    terminal.see(rf"move-01-\S+\.qcow2 +{tier} ", 120)
    terminal.see_no(r"\d+% moving", 30)  # the old copy is removed after that


def test_disk_is_moved_twice_while_its_guest_writes(console: Console, qemu: libvirt.virConnect, data_dir: Path) -> None:
    write_busy_image(data_dir / "images", IMAGE)
    terminal = console("--hypervisor", "qemu:///system", columns=140, rows=40)
    make_administrator(terminal)
    terminal.press("c")
    terminal.see(IMAGE)
    terminal.type("move-01")
    terminal.press("ctrl+s")
    terminal.see("move-01 .*● running", 60)
    serial = Serial("qemu:///system", "move-01")
    serial.see("WRITES", 240)

    terminal.press("4")
    terminal.see("HOT +3 volumes")
    terminal.press("/")
    terminal.type("move-01 qcow2")  # the host may have other guests
    terminal.press("enter")
    terminal.see(r"move-01-\S+\.qcow2 +hot ")
    name = next(iter(files(data_dir)))[1]
    move(terminal, "cold")
    read_until(terminal, lambda: files(data_dir) == {("cold", name)})
    terminal.press("enter")
    terminal.see("move-01 as disk")
    terminal.press("esc")
    terminal.see_no("move-01 as disk", 10)
    move(terminal, "hot")
    read_until(terminal, lambda: files(data_dir) == {("hot", name)})

    serial.wait_for_writes()
    terminal.see(r"HOT +\d+ volumes +r \S+  w [1-9]", 60)  # the tier shows what the guest writes
    guest_checksum = serial.checksum()
    assert checksum_of(data_dir / "pools" / "hot" / name) == guest_checksum
    assert "WRITE-ERROR" not in serial.text
    serial.close()
    domain = qemu.lookupByName("move-01")
    for xml in (domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
        assert f"pools/hot/{name}" in xml
        assert "pools/cold" not in xml
    terminal.press("esc")
    terminal.see("initrd")  # no filter
    terminal.press("esc")
    terminal.see("MEM USED")
    terminal.press("q")
    assert terminal.wait_end(10) == 0
