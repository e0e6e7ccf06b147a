"""What the commands say of a crashed VM, and of one whose host does not respond."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from novacron_core.api.base import Page
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.vms import VM, Crash, State
from novacron_core.client import Client
from novacron_core.values.operation_kinds import OperationKind
from novacron_tui.cli import changes, lists
from novacron_tui.cli.runtime.output import Output
from tests.support.console.world import host, vm

NOW = datetime.now(UTC)
CRASHED = vm("web-01", 1, State.CRASHED, reason="ended unexpectedly")
CRASH = Crash(reason="ended unexpectedly", found_at=NOW, log=["one\u202etwo", "shutting down, reason=crashed"])


def client(shown: VM, sent: list[httpx.Request] | None = None) -> Client:
    """A server with one host and one VM, which has crashed."""

    def page(items: Sequence[Any]) -> Page[Any]:
        return Page(items=list(items), total=len(items), page=1, page_size=1000)

    def answer(request: httpx.Request) -> httpx.Response:
        if sent is not None:
            sent.append(request)
        target = Target(type="vm", id=shown.id, name=shown.name)
        answers: dict[str, Any] = {
            "GET /api/vm/vms": page([shown]),
            "GET /api/hosts": page([host()]),
            f"GET /api/vm/vms/{shown.id}": shown,
            f"GET /api/vm/vms/{shown.id}/crash": CRASH,
            f"POST /api/vm/vms/{shown.id}/acknowledge": Operation(
                id="o", kind=OperationKind.VM_ACKNOWLEDGE, target=target, state=OperationState.SUCCEEDED, created_at=NOW
            ),
        }
        status = 200 if request.method == "GET" else 202
        return httpx.Response(status, content=msgspec.json.encode(answers[f"{request.method} {request.url.path}"]))

    return Client("http://a", transport=httpx.MockTransport(answer))


async def test_show_tells_when_and_why_a_vm_crashed(capsys: pytest.CaptureFixture[str]) -> None:
    async with client(CRASHED) as server:
        await lists.vm_show(server, Output.TABLE, CRASHED.id)
    out = capsys.readouterr().out
    assert "while no server was running" in out
    assert "shutting down, reason=crashed" in out
    assert "\u202e" not in out


async def test_vm_of_a_lost_host_says_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    lost = msgspec.structs.replace(CRASHED, state=State.UNKNOWN, last_state=State.RUNNING, reason="gone")
    async with client(lost) as server:
        await lists.vm_ls(server, Output.TABLE, "")
        assert "unknown, was running" in capsys.readouterr().out
        await lists.vm_show(server, Output.TABLE, lost.id)
        assert "unknown, was running (gone)" in capsys.readouterr().out
        await lists.vm_ls(server, Output.JSON, "")
    (item,) = json.loads(capsys.readouterr().out)
    assert (item["state"], item["last_state"]) == ("unknown", "running")


async def test_acknowledge_sends_the_action(capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[httpx.Request] = []
    async with client(CRASHED, sent) as server:
        assert await changes.act(server, Output.TABLE, "acknowledge", [CRASHED.id], wait=True) == 0
    assert [request.url.path for request in sent if request.method == "POST"] == [
        f"/api/vm/vms/{CRASHED.id}/acknowledge"
    ]
    assert capsys.readouterr().out.startswith("web-01: crash acknowledged")
