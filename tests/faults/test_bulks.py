"""A bulk goes on through kills of the server, an outage of the database and a host that hangs."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import libvirt
import pytest

from novacron_core.api import vms
from novacron_core.api.operations import BulkCounts, BulkItemState, OperationState
from novacron_core.api.vms import State
from novacron_core.local_server import read_running_server
from novacron_server.vms.bulk import procedure
from tests.support.accounts import administrator
from tests.support.bulks import fleet, items_of, start_bulk
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.node_files import write_node
from tests.support.processes import ServerProcess
from tests.support.server import open_server
from tests.support.waiting import until

COUNT = 30
GUEST = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='none'/></devices></domain>"""


@pytest.mark.parametrize(
    "failpoint",
    [
        "vm.bulk:began=crash",
        pytest.param("vm.bulk:submitted=crash", marks=pytest.mark.long),
        "vm.power-off:began=pause",
        pytest.param("vm.power-off:done=pause", marks=pytest.mark.long),
        pytest.param("vm.bulk:done=crash", marks=pytest.mark.long),
    ],
)
async def test_server_killed_in_the_middle_changes_every_vm_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, failpoint: str
) -> None:
    """Each VM that is on is powered off by one operation, or by a second one if the first was interrupted."""
    server = ServerProcess(data_dir, write_node(data_dir / "node.xml", COUNT))
    monkeypatch.setenv("NOVACRON_FAILPOINTS", failpoint)
    await server.start()
    try:
        token = await asyncio.to_thread(lambda: asyncio.run(administrator(_url(data_dir), data_dir)))
        async with _client(data_dir, token) as http:
            found = (await _all(http, "/api/vm/vms"))["items"]
            assert len(found) == COUNT
            bulk = ""
            with suppress(httpx.TransportError):  # the crash may come before the answer
                bulk = await _ask(http, found)
            if failpoint.endswith("pause"):
                await until(lambda: _running(http, bulk), 60)
                server.kill()
        await until(lambda: _is_dead(server), 60)
        monkeypatch.delenv("NOVACRON_FAILPOINTS")
        await server.start()
        async with _client(data_dir, token) as http:
            assert bulk in ("", await _ask(http, found)), "the same request is the same bulk"
            bulk = await _ask(http, found)
            ended = await until(lambda: _ended(http, bulk), 60)
            children = (await _all(http, "/api/operations", q="vm.power-off"))["items"]
            items = (await _all(http, f"/api/operations/{bulk}/children"))["items"]
        reasons = {item["reason"] for item in items if item["state"] != "succeeded"}
        assert (ended["state"], ended["counts"]["succeeded"], reasons) == ("succeeded", COUNT, set())
        assert {child["parent"] for child in children} == {bulk}
        off = [vm["id"] for vm in found if vm["state"] == "stopped"]
        done = Counter(child["target"]["id"] for child in children if child["state"] == "succeeded")
        assert max(done.values()) == 1
        interrupted = Counter(child["target"]["id"] for child in children if child["state"] == "interrupted")
        assert set(done) | set(interrupted) == {vm["id"] for vm in found} - set(off)
        assert sum(interrupted.values()) <= procedure.PER_HOST
    finally:
        server.stop()


def _request(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"action": "power-off", "ids": [vm["id"] for vm in found]}


async def _ask(http: httpx.AsyncClient, found: list[dict[str, Any]]) -> str:
    headers = {"Idempotency-Key": "one-bulk"}
    answer = await http.post("/api/vm/vms/bulk", json=_request(found), headers=headers)
    return str(answer.json()["id"])


def _url(data_dir: Path) -> str:
    running = read_running_server(data_dir)
    assert running is not None
    return running.url


def _client(data_dir: Path, token: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=_url(data_dir), headers={"Authorization": f"Bearer {token}"}, timeout=20)


async def _all(http: httpx.AsyncClient, path: str, **query: str) -> Any:
    return (await http.get(path, params={"page_size": "1000", **query})).json()


async def _running(http: httpx.AsyncClient, bulk: str) -> bool | None:
    page = await _all(http, f"/api/operations/{bulk}/children", q="running")
    return True if page["total"] == procedure.PER_HOST else None


async def _ended(http: httpx.AsyncClient, bulk: str) -> dict[str, Any] | None:
    operation: dict[str, Any] = (await http.get(f"/api/operations/{bulk}")).json()
    return operation if operation["state"] not in ("pending", "running") else None


async def _is_dead(server: ServerProcess) -> bool | None:
    return None if server.runs else True


async def test_database_that_is_down_for_a_while_only_delays_a_bulk(data_dir: Path) -> None:
    uri = write_node(data_dir / "node.xml", COUNT)
    async with open_server(data_dir, [uri]) as server:
        found = [vm for vm in await fleet(server.admin) if vm.state is State.RUNNING]
        bulk = await start_bulk(server.admin, "pause", [vm.id for vm in found])
        server.hang_database()
        await server.wait_for_database(down=True)
        server.wake_database()
        await server.wait_for_database(down=False, timeout_s=30)
        ended = await until(lambda: _end_of(server, bulk.id), 60)
        assert (ended.state, ended.counts) == (OperationState.SUCCEEDED, BulkCounts(succeeded=len(found)))
        children = [item.operation_id for item in await items_of(server.admin, bulk)]
        assert len(set(children)) == len(found)
        assert None not in children


async def _end_of(server: Any, operation_id: str) -> Any:
    operation = server.parts.inventory.state.operation(operation_id)
    return operation if operation is not None and operation.state.ended else None


async def test_host_that_hangs_holds_only_its_own_vms_up(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The items of the good host succeed at once; those of the bad one end too, with its sentence."""
    monkeypatch.setattr(procedure, "HOST_PATIENCE_S", 2.0)
    bad, good = libvirtd_named("bad"), libvirtd_named("good")
    for daemon in (bad, good):
        connection = libvirt.open(daemon.uri)
        for number in range(3):
            connection.defineXML(GUEST.format(name=f"{daemon.name}-{number}")).create()
        connection.close()
    async with open_server(data_dir, [bad.uri, good.uri]) as server:
        await until(lambda: _all_run(server), 30)
        found = await fleet(server.admin)
        bad.signal(signal.SIGSTOP)
        try:
            bulk = await start_bulk(server.admin, "pause", [vm.id for vm in found])
            await until(lambda: _good_ones_done(server, bulk), 20)
            ended = await until(lambda: _end_of(server, bulk.id), 60)
        finally:
            bad.signal(signal.SIGCONT)
        assert ended.state is OperationState.FAILED
        assert ended.counts.succeeded == 3
        assert ended.counts.failed + ended.counts.refused == 3
        for item in (await items_of(server.admin, bulk))[:3]:
            assert item.name.startswith("bad")
            assert "host" in item.reason or "respond" in item.reason, item


async def _all_run(server: Any) -> bool | None:
    found = await fleet(server.admin)
    return True if len(found) == 6 and all(vm.state is State.RUNNING for vm in found) else None


async def _good_ones_done(server: Any, bulk: Any) -> bool | None:
    items = [item for item in await items_of(server.admin, bulk) if item.name.startswith("good")]
    return True if all(item.state is BulkItemState.SUCCEEDED for item in items) else None


async def test_host_that_is_down_refuses_its_vms_at_once(
    data_dir: Path, libvirtd_named: Callable[[str], PrivateLibvirtd]
) -> None:
    daemon = libvirtd_named("down")
    connection = libvirt.open(daemon.uri)
    connection.defineXML(GUEST.format(name="down-0"))
    connection.close()
    async with open_server(data_dir, [daemon.uri]) as server:
        vm = (await fleet(server.admin))[0]
        daemon.kill()
        await until(lambda: _unknown(server))
        ended = await server.ended(await start_bulk(server.admin, "start", [vm.id]))
        assert ended.counts == BulkCounts(refused=1)
        assert ended.problem is not None
        assert "does not respond" in ended.problem.detail or "not responding" in ended.problem.detail
        assert (await server.admin.call(vms.GET, vm_id=vm.id)).state is State.UNKNOWN


async def _unknown(server: Any) -> bool | None:
    return True if all(vm.state is State.UNKNOWN for vm in await fleet(server.admin)) else None
