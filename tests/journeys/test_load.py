"""By key presses on a real guest under load: list, page and metrics screen show the load with the first reading that
includes it, and the painted values agree with libvirt's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

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

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(600)]
T = TypeVar("T")
Console = Callable[..., Terminal]
NAME = "load-01"
IMAGE = "a-steady-guest"
"""The first image by name, so that the form selects it."""
LIMITS = {"read_bytes_sec": 200 * KIB, "write_bytes_sec": 300 * KIB}
"""A load that a busy machine can handle, and that is painted with three digits."""
LIST = rf" {NAME} .*?(\d+)% +1 +(\S+)/(\S+) +(\S+)/(\S+) +"


def numbers(pattern: str, **names: float) -> Callable[[str], Painted]:
    """Reads a screen: the pattern's named groups, each times its factor; sizes in bytes; empty without a match."""

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
    """The same values from the test's own readings of the same interval, of a VM or (None) of all guests."""
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


class Shown:
    """Values that one screen shows of a VM or (None) of all guests: a pattern with a group for each, and its factor."""

    def __init__(self, pattern: str, vm: str | None = NAME, **names: float) -> None:
        self._read, self._vm, self._names = numbers(pattern, **names), vm, names

    def painted(self, screen: str) -> Painted:
        """Empty when the screen does not match."""
        return self._read(screen)

    def own(self, readings: Readings) -> dict[str, float | None]:
        return own(readings, self._vm, *self._names)


def agree(terminal: Terminal, readings: Readings, *shown: Shown) -> None:
    """Compare all of them in the same windows: each window takes five seconds."""

    def painted(screen: str) -> Painted:
        parts = [part.painted(screen) for part in shown]
        return _numbered(parts) if all(parts) else {}

    compare(terminal, readings, painted, lambda: _numbered([part.own(readings) for part in shown]))


def _numbered(parts: list[dict[str, T]]) -> dict[str, T]:
    return {f"{at} {name}": value for at, part in enumerate(parts) for name, value in part.items()}


def start_guest(terminal: Terminal, qemu: libvirt.virConnect) -> libvirt.virDomain:
    """Create a guest that works on a disk with an I/O limit."""
    terminal.press("c")
    terminal.see(IMAGE)
    terminal.type(NAME)
    terminal.press("ctrl+s")
    terminal.see(f"{NAME} .*● running", 60)
    domain = qemu.lookupByName(NAME)
    domain.setBlockIoTune("vda", LIMITS, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    serial = Serial("qemu:///system", NAME)
    serial.see("READY", 240)
    serial.close()
    return domain


def time_seen(terminal: Terminal, pattern: str) -> float:
    """Wait until the screen matches. Returns the time.time() of the match."""
    terminal.see(pattern, 120)
    return time.time()


def test_load_is_shown_at_once_and_agrees_with_libvirt(
    console: Console, qemu: libvirt.virConnect, data_dir: Path
) -> None:
    write_busy_image(data_dir / "images", IMAGE, steady=True)
    terminal = console("--hypervisor", QEMU, columns=140, rows=45)
    make_administrator(terminal)
    start_guest(terminal, qemu)
    running = read_running_server(data_dir)
    assert running
    with Readings(QEMU, running.url, ("ann", PASSWORD), NAME) as readings:
        _check_first_reading(terminal, readings)
        agree(terminal, readings, Shown(LIST, cores=0.01, used=1, given=1, read=1, written=1))
        terminal.press("enter")
        terminal.see("of 1 vCPU")
        agree(
            terminal,
            readings,
            Shown(r"CPU +(\d+) %.* (\S+) of 1 vCPU", percent=0.01, cores=1),
            Shown(r"memory .* ([\d.]+ MiB) of ([\d.]+ MiB)", used=1, given=1),
            Shown(r"disk +(\S+)/s read +(\S+)/s written +(\d+) IOPS", read=1, written=1, requests=1),
        )
        terminal.press("esc")
        terminal.see("MEM USED")
        terminal.press("5")
        terminal.see(f"Top by CPU(.|\n)* {NAME} ")
        _check_metrics(terminal, readings)


def _check_first_reading(terminal: Terminal, readings: Readings) -> None:
    """Paused, the guest uses almost nothing. Resumed, the first reading that includes the load is painted."""
    terminal.press("p")
    terminal.see(rf" {NAME} .* \d% .*\b0/0 +\S+ +\d+ MiB", 120)
    terminal.press("p")
    terminal.see(f"{NAME} .*● running")
    resumed = time.time()
    painted = time_seen(terminal, rf" {NAME} .* [1-9]\d+% ")
    readings.at_once(readings.rounds, resumed, painted)
    painted = time_seen(terminal, rf" {NAME} .*% .* \d\S*/[1-9]\S* +\S+ +\d+ MiB")
    readings.at_once(readings.disk_rounds, resumed, painted)


def _check_metrics(terminal: Terminal, readings: Readings) -> None:
    top = rf"Top by (?:.|\n)*? {NAME} +\S+ "
    status = rf" {NAME} on .*: CPU (\d+)%, memory (\S+ MiB) of (\S+ MiB), disk r (\S+) w (\S+)"
    fleet = r" fleet .* uses? (\S+) cores, memory (\S+ \w+) of (\S+ \w+) .*disk r (\S+) w (\S+)"
    agree(
        terminal,
        readings,
        Shown(top + r"(\S+) cores +(\d+)%", cores=1, percent=0.01),
        Shown(status, cores=0.01, used=1, given=1, read=1, written=1),
        Shown(fleet, None, cores=1, used=1, given=1, read=1, written=1),
        Shown(r"Disk +read (\w+)/s +written (\w+)/s", None, read=1, written=1),
    )
    terminal.press("o")
    terminal.see("Top by memory")
    agree(terminal, readings, Shown(top + r"([\d.]+ MiB)", used=1))
    terminal.press("o")
    terminal.see("Top by disk")
    agree(terminal, readings, Shown(top + r"r (\S+) w (\S+)", read=1, written=1))
