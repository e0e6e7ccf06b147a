"""A fleet by key presses: two simulated hosts with 2,000 VMs and a third that is down, on one real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from novacron_core.api import vms
from novacron_core.client import Client
from novacron_core.client.credentials import Credentials
from tests.support.accounts import administrator
from tests.support.console_keys import confirm
from tests.support.fair_clock import fair_now
from tests.support.fleet_list import cursor, names, pause, read_until
from tests.support.node_files import write_node
from tests.support.processes import NOVACRON, serve
from tests.support.terminal import Terminal

pytestmark = pytest.mark.timeout(90)
EACH = 1000


@pytest.fixture
def fleet(data_dir: Path) -> Iterator[tuple[str, str]]:
    """The (URL, token) of a server with both hosts and the dead one, once it lists all VMs."""
    hosts = [
        write_node(data_dir / "north.xml", EACH),
        write_node(data_dir / "south.xml", EACH, first=EACH + 1),
        f"qemu+unix:///system?socket={data_dir}/nobody-listens",
    ]
    with serve(data_dir, hosts=hosts) as (url, _):
        token = asyncio.run(administrator(url, data_dir))
        asyncio.run(_lists_all(url, token))
        yield url, token


async def _lists_all(url: str, token: str) -> None:
    async with Client(url, Credentials(token)) as client:
        deadline = fair_now() + 30
        while (await client.call(vms.LIST, query=vms.VMQuery(page_size=1))).total < 2 * EACH:
            assert fair_now() < deadline
            await asyncio.sleep(0.1)


def open_console(fleet: tuple[str, str], columns: int, rows: int, state: Path) -> Terminal:
    """`state` is where it keeps how it was left."""
    url, token = fleet
    environment = {"NOVACRON_TOKEN": token, "XDG_STATE_HOME": str(state)}
    return Terminal([NOVACRON, "--server", url], columns=columns, rows=rows, environment=environment)


def test_two_thousand_vms_by_keys(fleet: tuple[str, str], tmp_path: Path) -> None:
    with open_console(fleet, 220, 60, tmp_path / "large") as terminal:
        terminal.see("2 hosts up, 1 down", 20)
        terminal.see(r"api-0000\d")
        read_until(terminal, lambda: len(names(terminal)) >= 54)
        _check_sorting(terminal)
        _check_filter_and_cursor(terminal, fleet)
        _check_bulk_actions(terminal)
    with open_console(fleet, 220, 60, tmp_path / "large") as terminal:
        terminal.see("the list is filtered, as you left it", 20)
    with open_console(fleet, 80, 24, tmp_path / "small") as terminal:
        terminal.see(r"api-\d{5}", 20)
        read_until(terminal, lambda: len(names(terminal)) >= 16)
        terminal.press("end")
        terminal.see("worker-01994")
        _check_bytes(terminal)


def _check_bytes(terminal: Terminal) -> None:
    """A screen is painted once, in few bytes: at 9,600 baud a thousand take a second. It was 34 KB to the list, 18 to 35
    for a dialog, and 19 to 34 for another screen."""
    spent = {"start": terminal.received}
    for key, seen in (
        ("up", ""),
        ("pageup", ""),
        ("o", "STATE▴"),
        ("?", "esc closes"),
        ("esc", "STATE▴"),
        ("4", "HOT"),
        ("5", "Top by"),
        ("7", "CLOCK"),
        ("1", "STATE▴"),
    ):
        before = terminal.received
        terminal.press(key)
        terminal.see(seen)
        terminal.settle(0.3)
        spent[key] = terminal.received - before
    limits = {"start": 12000, "up": 3000, "5": 15000}  # beside what samples paint meanwhile; charts have the most cells
    assert not {key: count for key, count in spent.items() if count > limits.get(key, 9000)}, spent


def every(terminal: Terminal, pattern: str) -> bool:
    """Whether every VM's line matches."""
    return all(re.search(pattern, terminal.line(name)) for name in names(terminal))


def _check_sorting(terminal: Terminal) -> None:
    """Sort by state (problems first) and reversed, by size, and by name again."""
    first = names(terminal)
    assert first == sorted(first)
    terminal.press("o")
    terminal.see("STATE▴")
    read_until(terminal, lambda: every(terminal, "paused"))
    terminal.press("O")
    terminal.see("STATE▾")
    read_until(terminal, lambda: every(terminal, "stopped") and cursor(terminal) == names(terminal)[0])
    _sort_by(terminal, "▾VCPU")
    read_until(terminal, lambda: every(terminal, r" 8 +\S*\d+(\.\d)?G "))
    _sort_by(terminal, "NAME▴")
    read_until(terminal, lambda: names(terminal) == first)


def sorted_by(terminal: Terminal) -> str:
    """The column with the arrow; empty while the line is painted only partly."""
    arrows = re.findall(r"\S*[▴▾]\S*", terminal.screen.display[1])
    return arrows[0] if len(arrows) == 1 else ""


def _is_sorted_differently(terminal: Terminal, before: str) -> bool:
    return sorted_by(terminal) not in ("", before)


def _sort_by(terminal: Terminal, header: str) -> None:
    for _ in range(12):
        before = sorted_by(terminal)
        if before == header:
            break
        terminal.press("o")
        read_until(terminal, partial(_is_sorted_differently, terminal, before))
    assert sorted_by(terminal) == header
    terminal.press("home")


def _check_filter_and_cursor(terminal: Terminal, fleet: tuple[str, str]) -> None:
    terminal.press("/")
    terminal.type("db-000")
    terminal.see("10 of 2,000")
    terminal.press("enter", "home", "down", "down", "down")
    read_until(terminal, lambda: cursor(terminal) == "db-00031")
    asyncio.run(pause(*fleet, "db-00031", "db-00061"))
    terminal.see("db-00031.*paused")
    terminal.see("db-00061.*paused")
    terminal.press("o")
    terminal.see("STATE▴")
    paused = {f"db-000{number}" for number in (21, 31, 51, 61, 81)}
    read_until(terminal, lambda: set(names(terminal)[:5]) == paused)
    read_until(terminal, lambda: cursor(terminal) == names(terminal)[0])  # sorting shows the first row


def _check_bulk_actions(terminal: Terminal) -> None:
    """Power off many VMs: confirm, see each result, and start them again."""
    terminal.press("*")
    terminal.see("10 VMs marked")
    terminal.press("X")
    confirm(terminal, "Power off 10 VMs")
    terminal.see(r"10 powered off", 20)
    terminal.press("b")
    terminal.see("RESULT")
    read_until(terminal, lambda: terminal.text().count("✓ powered off") >= 10)
    terminal.press("esc")
    terminal.see_no("10 VMs marked")  # what was changed loses its mark
    terminal.press("*")
    terminal.see("10 VMs marked")
    terminal.press("s")
    terminal.see(r"10 started", 20)
    terminal.press("*")
    terminal.see("10 VMs marked")
    terminal.press("x")
    terminal.see(r"10 shut down", 20)
