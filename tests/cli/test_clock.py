"""The ages in tables are by the server's clock, whatever this machine's says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import msgspec
import pytest

from novacron_core.api.base import Page
from novacron_core.client import Client
from novacron_tui.cli import events, lists
from novacron_tui.cli.runtime.output import Output
from tests.support.console.world import HOST_ID, event, host, operation, vm


def server(ahead: timedelta) -> httpx.MockTransport:
    """A server whose clock is ahead of this machine's. By its clock all happened five minutes ago."""
    now = datetime.now(UTC) + ahead
    then = now - timedelta(minutes=5, seconds=30)
    machine = vm("web-01", 1, state_since=then, seen_at=then, host=HOST_ID)
    items = {
        "/api/vm/vms": [machine],
        f"/api/vm/vms/{machine.id}": machine,
        "/api/hosts": [host(seen_at=then)],
        "/api/operations": [operation("vm.start", machine, created_at=then)],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        found = items[request.url.path]
        body = Page(items=found, total=1, page=1, page_size=100) if isinstance(found, list) else found
        date = {"Date": format_datetime(now, usegmt=True)}
        return httpx.Response(200, content=msgspec.json.encode(body), headers=date)

    return httpx.MockTransport(answer)


@pytest.mark.parametrize("hours", [2, -2, 0])
async def test_ages_are_by_the_clock_of_the_server(hours: int, capsys: pytest.CaptureFixture[str]) -> None:
    async with Client("http://127.0.0.1:1", transport=server(timedelta(hours=hours))) as client:
        await lists.vm_ls(client, Output.TABLE, "")
        await lists.host_ls(client, Output.TABLE)
        await lists.op_ls(client, Output.TABLE, "", 10)
        await lists.vm_show(client, Output.TABLE, vm("web-01", 1).id)
    shown = capsys.readouterr().out
    assert len(re.findall(r"\b5m\b", shown)) == 5


async def test_a_gateway_without_a_date_changes_nothing() -> None:
    plain = httpx.MockTransport(lambda _: httpx.Response(200, content=b"{}"))
    async with Client("http://127.0.0.1:1", transport=plain) as client:
        await client._send_once({"method": "GET", "url": "/", "headers": {}})
        assert abs((client.now() - datetime.now(UTC)).total_seconds()) < 1


@pytest.mark.parametrize(("time", "hours"), [(datetime.max, -14), (datetime.min, 14)])
def test_time_that_no_machine_can_have_is_shown_as_it_came(time: datetime, hours: int) -> None:
    there = time.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert f"{time.year:04}-" in events.line(event(1, vm("web-01", 1), "vm.updated", time=there))
