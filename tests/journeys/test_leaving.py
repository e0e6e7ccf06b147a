"""The operator leaves the console in the middle of an action on many VMs: the server goes on, the next console shows it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from novacron_core.api import operations
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import BulkCounts, Operation, OperationState
from novacron_core.client import Client
from novacron_core.client.credentials import Credentials
from tests.support.accounts import administrator
from tests.support.bulks import fleet, items_of
from tests.support.node_files import write_node
from tests.support.processes import NOVACRON, serve
from tests.support.terminal import Terminal
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)
VMS, ON = 60, 50
HELD = {"NOVACRON_FAILPOINTS": "vm.power-off:began=pause"}


@pytest.fixture
def place(data_dir: Path) -> Iterator[tuple[str, str]]:
    """The (URL, token) of a server on whose hosts a power-off begins, but waits until the file `release` exists."""
    held = {**HELD, "NOVACRON_FAILPOINT_RELEASE": str(data_dir / "release")}
    with serve(data_dir, hosts=[write_node(data_dir / "node.xml", VMS)], environment=held) as (url, _):
        yield url, asyncio.run(administrator(url, data_dir))


def open_console(place: tuple[str, str]) -> Terminal:
    url, token = place
    return Terminal([NOVACRON, "--server", url], columns=140, rows=40, environment={"NOVACRON_TOKEN": token})


def test_console_that_leaves_loses_nothing_and_the_next_one_shows_all(place: tuple[str, str], data_dir: Path) -> None:
    with open_console(place) as terminal:
        terminal.see(r"api-0000\d", 20)
        terminal.press("*")
        terminal.see(f"{VMS} VMs marked")
        terminal.press("X")
        terminal.see(f"Power off {ON} VMs")
        terminal.react()
        terminal.type(str(ON))
        terminal.press("enter")
        terminal.see(f"powering off {VMS}: .*4 running, {ON - 4} queued +C stops the rest")
        terminal.press("q")
        terminal.wait_end(10)
        assert f"The server continues: 4 running, {ON - 4} queued. Nothing is lost." in terminal.text()
        assert re.search(r"novacron op cancel \S+ --\w+ \S+\s+stops the rest", terminal.text())
    with open_console(place) as terminal:
        terminal.see(f"powering off {ON}: 4 running, {ON - 4} queued +C stops the rest", 20)
        (data_dir / "release").touch()
        assert asyncio.run(_ended(*place)) == BulkCounts(succeeded=ON)
        terminal.press("b")
        terminal.see(f"Power off {ON} VMs")
        terminal.see(f"{ON} powered off")
        terminal.press("esc", "7")
        terminal.see(f"powered off +{ON} VMs")


async def _ended(url: str, token: str) -> BulkCounts | None:
    """Wait for the end of the only bulk. Returns its counts, after a look at all VMs and items."""
    async with Client(url, Credentials(token)) as client:

        async def end() -> Operation | None:
            (found,) = (await client.call(operations.LIST, query=ListQuery(q="vm.bulk"))).items
            return found if found.state is OperationState.SUCCEEDED else None

        bulk = await until(end, 60)
        assert {vm.state for vm in await fleet(client)} == {"stopped"}
        assert len({item.operation_id for item in await items_of(client, bulk)}) == ON
        return bulk.counts
