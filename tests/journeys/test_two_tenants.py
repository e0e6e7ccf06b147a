"""Two tenants of two people each work side by side, by key presses, and neither learns anything of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD, administrator
from tests.support.processes import serve
from tests.support.seats import Seat, command, look, seat
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
THEIRS = "seven calm rivers bend south"
PEOPLE = {"rita": ("red", "owner"), "ron": ("red", "operator"), "bo": ("blue", "owner"), "bea": ("blue", "viewer")}


@pytest.fixture
def seats(data_dir: Path, tmp_path: Path) -> Iterator[dict[str, Seat]]:
    """The four, signed in, and an image of everybody's. The tenant red has a quota of one VM."""
    disk = tmp_path / "tiny.raw"
    disk.write_bytes(bytes(1 << 20))
    with serve(data_dir) as (url, _):
        asyncio.run(administrator(url, data_dir))
        ann = seat(url, tmp_path, "ann")
        ann.run("login", "--server", url, "--user", "ann", typed=PASSWORD + "\n")
        ann.run("image", "upload", str(disk), "--name", "tiny")
        for tenant in ("red", "blue"):
            ann.run("tenant", "create", tenant)
        ann.run("tenant", "edit", "red", "--max-vms", "1")
        made = {}
        for name, (tenant, role) in PEOPLE.items():
            ann.run("user", "create", name, "--tenant", tenant, "--role", role, typed=THEIRS + "\n")
            made[name] = seat(url, tmp_path, name)
            made[name].run("login", "--server", url, "--user", name, typed=THEIRS + "\n")
        yield made


def create(terminal: Terminal, name: str) -> None:
    """Fill in and send the form of a new VM."""
    terminal.press("c")
    terminal.see(r"image size \(1 GiB\)")
    terminal.react()
    terminal.type(name)
    terminal.press("ctrl+s")


def test_two_tenants_work_side_by_side(seats: dict[str, Seat]) -> None:
    rita, ron, bo, bea = (seats[name].console() for name in PEOPLE)
    with rita, ron, bo, bea:
        for terminal in (rita, ron, bo, bea):
            terminal.see(r"No VMs|no VMs")
            look(terminal)
        create(ron, "web-red")
        ron.see(r"red~web-red +.*running")
        rita.see(r"red~web-red +.*running")
        create(bo, "web-red")
        bo.see(r"blue~web-red +.*running")
        bea.see(r"blue~web-red +.*running")

        create(ron, "second")
        ron.see(r"the tenant red uses 1 of its quota of 1 VMs")
        ron.press("esc")
        ron.see(r"Discard your changes\?")
        ron.react()
        ron.press("y")
        ron.see(r"red~web-red +.*running")
        create(bo, "second")
        bo.see(r"blue~second +.*running")

        command(rita, "hand-over")
        rita.see(r"Hand over red~web-red")
        rita.react()
        rita.type("rit")
        rita.press("right", "ctrl+s")
        rita.see(r"(?i)handed over.*red~web-red|red~web-red.*handed over")

        rita.press("6")
        rita.see(r"ron +operator +active")
        assert not any(name in rita.text() for name in ("bea", "blue"))
        rita.press("/")
        rita.type("ron")
        rita.press("enter", "e")
        rita.see("Change ron")
        rita.press("down", "up", "enter", "ctrl+s")
        rita.see("ron: now viewer of red")
        ron.see("you are viewer now")
        ron.press("p")
        ron.see(r"your role \(viewer\) lacks the permission vm:change")

        command(rita, "audit")
        rita.see("CLOCK")
        rita.press("/")
        rita.type("user:ron action:vm.create")
        rita.see(r"[12] of [12]\b")
        learns_nothing_of_red(bo, "bo", may_audit=True)
        learns_nothing_of_red(bea, "bea", may_audit=False)


def learns_nothing_of_red(terminal: Terminal, me: str, *, may_audit: bool) -> None:
    """Look at every screen and ask by name."""

    def nothing_of_red() -> None:
        shown = terminal.text().replace("blue~web-red", "")
        assert not any(name in shown for name in ("rita", "ron ", "red~", "tenant red"))

    terminal.see(r"blue~second +.*running")
    nothing_of_red()
    for key, sign in (("4", "blue~second"), ("5", "blue~second"), ("6", rf"{me} +\w+ +active"), ("7", "blue~second")):
        terminal.press(key)
        terminal.see(sign)
        nothing_of_red()
    terminal.press("1")
    command(terminal, "tenant red")
    terminal.see(r"tenant not found|no tenant")
    if may_audit:
        command(terminal, "audit")
        terminal.see("CLOCK")
        nothing_of_red()
        terminal.press("/")
        terminal.type("user:ron")
        terminal.see(r"no entry matches the filter")
