"""The VM list of a fleet in a terminal: its rows, its cursor, and changes by other clients."""

from __future__ import annotations

import re
from collections.abc import Callable

from novacron_core.api import vms
from novacron_core.client import Client
from novacron_core.client.credentials import Credentials
from tests.support.fair_clock import fair_now
from tests.support.terminal import Terminal

ROW = re.compile(r"^[▌ ] ([a-z]+-\d{5}) ")


async def pause(url: str, token: str, *names: str) -> None:
    """Pause a VM as another client."""
    async with Client(url, Credentials(token)) as client:
        for name in names:
            (found,) = (await client.call(vms.LIST, query=vms.VMQuery(q=f"name:{name}"))).items
            await client.call(vms.PAUSE, vm_id=found.id)


def names(terminal: Terminal) -> list[str]:
    return [match[1] for line in terminal.screen.display if (match := ROW.match(line))]


def cursor(terminal: Terminal) -> str:
    """The name on the cursor's line, whose background differs from the lines around it; empty while it is painted."""
    lines = [y for y, line in enumerate(terminal.screen.display) if ROW.match(line)]
    grounds = [terminal.screen.buffer[y][3].bg for y in lines]
    at = [y for y, ground in zip(lines, grounds, strict=True) if grounds.count(ground) == 1]
    found = ROW.match(terminal.screen.display[at[0]]) if len(at) == 1 else None
    return found[1] if found else ""


def read_until(terminal: Terminal, true: Callable[[], bool]) -> None:
    """Read the terminal until the condition is true."""
    deadline = fair_now() + 20
    while not true():
        assert fair_now() < deadline, terminal.text()
        terminal.read(0.1)
