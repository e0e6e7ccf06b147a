"""By key presses on a real guest under load: list, page and metrics screen show it with the first reading that can, and
what they paint is what libvirt counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import libvirt
import pytest

from novacron_core.local_server import read_running_server
from novacron_core.values.sizes import KIB, parse_size
from tests.support.accounts import PASSWORD
from tests.support.busy_guest import Serial, write_busy_image
from tests.support.console_keys import make_administrator
from tests.support.libvirt_hosts import QEMU
from tests.support.readings import Painted, Readings, compare
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(600)]
Console = Callable[..., Terminal]
NAME = "load-01"
IMAGE = "a-steady-guest"
"""The first of the images by name, so that the form has it chosen."""
LIMITS = {"read_bytes_sec": 200 * KIB, "write_bytes_sec": 300 * KIB}
"""A load that a busy machine can bear, and that is painted in three figures."""
LIST = rf" {NAME} .*?(\d+)% +1 +(\S+)/(\S+) +(\S+)/(\S+) +"


def numbers(pattern: str, **names: float) -> Callable[[str], Painted]:
    """Reads a screen: the pattern's groups by name, each times its factor; a size in bytes. Nothing where it is not."""

    def read(screen: str) -> Painted:
        found = re.search(pattern, screen)
        return (
            {}
            if found is None
            else {
                name: factor * (float(text) if re.fullmatch(r"[\d.]+", text) else parse_size(text))
                for (name, factor), text in zip(names.items(), found.groups(), strict=True)
            }
        )

    return read


def own(readings: Readings, vm: str | None, *names: str) -> dict[str, float | None]:
    """The same from our own readings, over the same interval; of a VM or (None) of all guests."""
    last = readings.rounds[-1]
    known: dict[str, Callable[[], float | None]] = {
        "cores": lambda: readings.rate("cpu.seconds", readings.rounds, vm),
        "percent": lambda: known["cores"](),
        "used": lambda: readings.of("memory.used", last, vm),
        "given": lambda: readings.of("memory.given", last, vm),
        "read": lambda: readings.rate("block.rd.bytes", readings.disk_rounds, vm),
        "written": lambda: readings.rate("block.wr.bytes", readings.disk_rounds, vm),
        "requests": lambda: readings.requests(vm),
    }
    return {name: known[name]() for name in names}


def agree(terminal: Terminal, readings: Readings, pattern: str, vm: str | None = NAME, **names: float) -> None:
    compare(terminal, readings, numbers(pattern, **names), partial(own, readings, vm, *names))


def started(terminal: Terminal, qemu: libvirt.virConnect) -> libvirt.virDomain:
    """The guest, at work on a disk with a limit."""
    terminal.press("c")
    terminal.see(IMAGE)
    terminal.type(NAME)
    terminal.press("ctrl+s")
    terminal.see(f"{NAME} .*● running", 60)
    domain = qemu.lookupByName(NAME)
    domain.setBlockIoTune("vda", LIMITS, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    serial = Serial(domain)
    serial.see("READY", 240)
    serial.close()
    return domain


def seen(terminal: Terminal, pattern: str) -> float:
    """When the screen matched, by time.time()."""
    terminal.see(pattern, 120)
    return time.time()


def test_a_load_is_seen_at_once_and_its_numbers_are_libvirts_own(
    console: Console, qemu: libvirt.virConnect, data_dir: Path
) -> None:
    write_busy_image(data_dir / "images", IMAGE, steady=True)
    terminal = console("--hypervisor", QEMU, columns=140, rows=45)
    make_administrator(terminal)
    started(terminal, qemu)
    running = read_running_server(data_dir)
    assert running
    with Readings(QEMU, running.url, ("ann", PASSWORD), NAME) as readings:
        _comes_at_once(terminal, readings)
        agree(terminal, readings, LIST, cores=0.01, used=1, given=1, read=1, written=1)
        terminal.press("enter")
        terminal.see("of 1 vCPU")
        agree(terminal, readings, r"CPU +(\d+) %.* (\S+) of 1 vCPU", percent=0.01, cores=1)
        agree(terminal, readings, r"memory .* ([\d.]+ MiB) of ([\d.]+ MiB)", used=1, given=1)
        rates = r"disk +(\S+)/s read +(\S+)/s written +(\d+) IOPS"
        agree(terminal, readings, rates, read=1, written=1, requests=1)
        terminal.press("esc")
        terminal.see("MEM USED")
        terminal.press("5")
        terminal.see(f"Top by CPU(.|\n)* {NAME} ")
        _metrics_agree(terminal, readings)


def _comes_at_once(terminal: Terminal, readings: Readings) -> None:
    """Paused it uses next to nothing (QEMU answers us). Resumed, the first reading that can tell is what is painted."""
    terminal.press("p")
    terminal.see(rf" {NAME} .* \d% .*\b0/0 +\S+ +\d+ MiB", 120)
    terminal.press("p")
    terminal.see(f"{NAME} .*● running")
    resumed = time.time()
    painted = seen(terminal, rf" {NAME} .* [1-9]\d+% ")
    readings.at_once(readings.rounds, resumed, painted)
    painted = seen(terminal, rf" {NAME} .*% .* \d\S*/[1-9]\S* +\S+ +\d+ MiB")
    readings.at_once(readings.disk_rounds, resumed, painted)


def _metrics_agree(terminal: Terminal, readings: Readings) -> None:
    top = rf"Top by (?:.|\n)*? {NAME} +\S+ "
    agree(terminal, readings, top + r"(\S+) cores +(\d+)%", cores=1, percent=0.01)
    status = rf" {NAME} on .*: CPU (\d+)%, (\S+ MiB) of (\S+ MiB), disk r (\S+) w (\S+)"
    agree(terminal, readings, status, cores=0.01, used=1, given=1, read=1, written=1)
    fleet = r" fleet .* uses? (\S+) cores, (\S+ \w+) of (\S+ \w+) .*disk r (\S+) w (\S+)"
    agree(terminal, readings, fleet, None, cores=1, used=1, given=1, read=1, written=1)
    agree(terminal, readings, r"Disk +read (\w+)/s +written (\w+)/s", None, read=1, written=1)
    terminal.press("v")
    terminal.see("Top by memory")
    agree(terminal, readings, top + r"([\d.]+ MiB)", used=1)
    terminal.press("v")
    terminal.see("Top by disk")
    agree(terminal, readings, top + r"r (\S+) w (\S+)", read=1, written=1)
