"""What the commands for changes send to the server."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from novacron_core.api.base import Page
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.vms import State
from novacron_core.client import Client
from novacron_core.errors import Conflict
from novacron_core.values.operation_kinds import OperationKind
from novacron_tui.cli import changes
from novacron_tui.cli.runtime import prompts
from novacron_tui.cli.runtime.output import Output
from tests.support.command_line import Run, one_line
from tests.support.console.storage_world import volume
from tests.support.console.world import vm

WEB = vm("web-01", 1)


@pytest.mark.parametrize(("seconds", "query"), [(None, {}), (5, {"force_after_s": "5"})])
async def test_stop_passes_on_when_to_power_off(
    seconds: int | None, query: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.method == "GET":
            return httpx.Response(200, content=msgspec.json.encode(WEB))
        now = datetime.now(UTC)
        operation = Operation(
            id="o", kind=OperationKind.VM_STOP, target=Target(type="vm", id=WEB.id, name=WEB.name),
            state=OperationState.SUCCEEDED, created_at=now, actor="ann",
        )  # fmt: skip
        return httpx.Response(202, content=msgspec.json.encode(operation))

    async with Client("http://a", transport=httpx.MockTransport(answer)) as client:
        assert await changes.act(client, Output.TABLE, "stop", [WEB.id], wait=True, force_after_s=seconds) == 0
    (stop,) = [request for request in sent if request.method == "POST"]
    assert (stop.url.path, dict(stop.url.params)) == (f"/api/vm/vms/{WEB.id}/stop", query)
    assert capsys.readouterr().out.startswith("web-01: shut down")


@pytest.mark.parametrize("disks", [True, False])
async def test_deletion_of_disks_names_the_base_and_the_overlays_that_go_with_them(
    disks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [
        volume("web-01.qcow2", 1, vm=WEB.id, role="backing file"),
        volume("web-01.s1", 2, vm=WEB.id, role="disk", unmanaged=True, backing_file="web-01.qcow2"),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/volumes"):
            return httpx.Response(200, content=msgspec.json.encode(Page(items=chain, total=2, page=1, page_size=1000)))
        return httpx.Response(200, content=msgspec.json.encode(WEB))

    asked: list[str] = []
    monkeypatch.setattr(prompts, "is_interactive", lambda: True)

    def ask(question: str) -> str:
        asked.append(question)
        return "no"

    monkeypatch.setattr(prompts, "ask", ask)
    async with Client("http://a", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(Conflict, match="not deleted"):
            await changes.delete(client, Output.TABLE, [WEB.id], disks=disks, sure=False, wait=True)
    also = " and its disks. With its disks go web-01.qcow2 (base), web-01.s1 (overlay)" if disks else ""
    assert asked == [f"This will delete web-01{also}. Type web-01 to confirm: "]


@pytest.mark.parametrize("seconds", ["0", "3601", "soon"])
def test_time_that_the_server_would_refuse_is_a_usage_error(run: Run, seconds: str) -> None:
    done = run("vm", "stop", "web-01", "--force-after", seconds)
    assert (done.returncode, "--force-after" in one_line(done)) == (2, True)


@pytest.mark.parametrize("busy", [True, False])
async def test_vm_that_is_only_on_its_way_is_refused(busy: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A stopped VM that is being started is not "already stopped"."""
    stopped = msgspec.structs.replace(WEB, state=State.STOPPED, operation_id="o" if busy else None)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=msgspec.json.encode(stopped))
        problem = {"title": "Conflict", "status": 409, "code": "conflict", "detail": "web-01 said no"}
        return httpx.Response(409, json=problem)

    async with Client("http://a", transport=httpx.MockTransport(answer)) as client:
        assert await changes.act(client, Output.TABLE, "stop", [WEB.id], wait=True) == (1 if busy else 0)
    assert ("nothing to do" in capsys.readouterr().err) is not busy
