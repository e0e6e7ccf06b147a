"""PostgreSQL hangs, dies and comes back under a whole server (G11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import libvirt
import pytest

from novacron_core import errors
from novacron_core.api import operations, vms
from novacron_core.api.vms import State
from novacron_server.database import faults, transactions
from tests.support.event_stream import Stream, open_stream
from tests.support.fair_clock import fair_now
from tests.support.server import ServerWithDatabase
from tests.support.waiting import until

CHANGE_S = 2.5


async def _change(server: ServerWithDatabase, verb: str = "pause", key: str = "") -> tuple[httpx.Response, float]:
    vm_id = (await server.vm("test")).id
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}", "Idempotency-Key": key or "k"}
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as http:
        began = fair_now()
        answer = await http.post(f"/api/vm/vms/{vm_id}/{verb}", headers=headers)
        return answer, fair_now() - began


async def test_hung_database_refuses_changes_in_time_and_reads_continue(server: ServerWithDatabase) -> None:
    vm_id = (await server.vm("test")).id
    server.hang_database()
    slowest = 0.0
    began = fair_now()
    refusals = 0
    while fair_now() - began < 5:  # before, while and after the server notices it
        (answer, took), *reads = await asyncio.gather(_change(server, key=str(refusals)), *(_read(server, vm_id),) * 1)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        slowest, refusals = max(slowest, took), refusals + 1
        assert max(reads) < 0.5
    assert slowest < CHANGE_S
    assert refusals >= 2
    server.wake_database()
    assert await server.wait_for_database(down=False) < 5
    answer, _ = await _change(server, key="afterwards")
    assert answer.status_code == 202


async def test_stored_events_are_refused_while_the_database_hangs(server: ServerWithDatabase) -> None:
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as http:
        server.hang_database()
        for query in ("", "?q=state:crashed"):
            answer = await http.get(f"/api/events{query}")
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        server.wake_database()
        assert await server.wait_for_database(down=False) < 5
        assert (await http.get("/api/events")).status_code == 200


async def _read(server: ServerWithDatabase, vm_id: str) -> float:
    began = fair_now()
    assert (await server.admin.call(vms.LIST)).total == 1
    assert (await server.admin.call(vms.GET, vm_id=vm_id)).name == "test"
    return fair_now() - began


async def test_stream_continues_unlogged_and_events_are_numbered_afterwards(
    server: ServerWithDatabase, libvirt_connection: libvirt.virConnect
) -> None:
    async with open_stream(server) as stream:
        began = fair_now()
        server.hang_database()
        lost = await stream.event("system.database_lost")
        assert fair_now() - began < 10
        assert lost["unlogged"] is True
        beat = (
            await stream.until(lambda f: f["frame"] == "heartbeat")
            if not _heartbeats(stream)
            else _heartbeats(stream)[-1]
        )
        assert beat["database_away_since"]
        libvirt_connection.lookupByName("test").suspend()
        unlogged = await stream.event("vm.paused", 3)
        assert (unlogged["unlogged"], unlogged["value"]["state"], unlogged["seq"]) == (True, "paused", lost["seq"])
        async with open_stream(
            server, f"?after={lost['seq']}"
        ) as late:  # a client that resumes now misses nothing either
            assert (await late.event("vm.paused", 3))["value"]["state"] == "paused"
            assert late.frames[0]["database_away_since"]
        server.wake_database()
        numbered = await stream.event("vm.paused")
        assert numbered["unlogged"] is False
        assert numbered["seq"] > unlogged["seq"]
        assert numbered["value"]["state"] == "paused"
        back = await stream.event("system.database_back")
        assert back["unlogged"] is False
        kinds = [f["type"] for f in stream.frames if f["frame"] == "event" and not f["unlogged"]]
        assert kinds.index("system.database_lost") < kinds.index("system.database_back")
        assert _heartbeats(stream)[-1]["database_away_since"] is None
        seqs = [f["seq"] for f in stream.frames if f["frame"] == "event" and not f["unlogged"]]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def _heartbeats(stream: Stream) -> list[dict[str, object]]:
    return [frame for frame in stream.frames if frame["frame"] == "heartbeat"]


async def test_health_and_responses_report_the_outage(server: ServerWithDatabase) -> None:
    token = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    await server.vm("test")  # a cached session stays valid
    server.hang_database()
    await server.wait_for_database(down=True)
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as http:
        health = await http.get("/health")
        assert (health.status_code, health.json()["checks"]["database"]["status"]) == (503, "unhealthy")
        listed = await http.get("/api/vm/vms", headers=token)
        assert (listed.status_code, "x-novacron-stale-since" in listed.headers) == (200, True)
        assert (await http.get("/api/operations", headers=token)).status_code == 200
        server.wake_database()
        await server.wait_for_database(down=False)
        assert "x-novacron-stale-since" not in (await http.get("/api/vm/vms", headers=token)).headers


async def test_killed_database_is_restarted_and_running_operations_succeed(
    server: ServerWithDatabase, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operation that runs while the database dies waits for it where necessary, and its end is reported."""
    release = server.data_dir / "go"
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(release))
    body = vms.VMCreate(name="web-01", image=image, memory_bytes=32 << 20, start=False)
    operation = await server.admin.call(vms.CREATE, body=body)
    await until(lambda: _is_listed(server, operation.id))
    server.hang_database()
    await server.wait_for_database(down=True)
    release.touch()
    held = await server.admin.call(operations.GET, operation_id=operation.id)
    assert held.id == operation.id
    server.kill_database()  # hung, then killed: the supervisor starts a new one
    await server.wait_for_database(down=False)
    assert (await server.ended(operation)).state == "succeeded"
    assert (await server.vm("web-01")).state is State.STOPPED
    assert server.postgres.restarts >= 1


async def _is_listed(server: ServerWithDatabase, operation_id: str) -> bool | None:
    """Whether the inventory state has the operation: later ones are not in memory."""
    return True if any(held.id == operation_id for held in server.parts.inventory.state.operations()) else None


async def pause_with_lost_answer(
    server: ServerWithDatabase, monkeypatch: pytest.MonkeyPatch, refuse: Callable[[Any], None] = lambda _: None
) -> None:
    """Pause the VM `test`: the row is committed, and the answer lost. `refuse` is called with all later work."""
    whole = transactions.Database.run
    lose = [True]

    async def lose_answer(self: transactions.Database, work: Any, **more: Any) -> Any:
        if not lose:
            refuse(work)
        result = await whole(self, work, **more)
        if lose and not more.get("read_only") and _accepted(result):
            lose.clear()
            raise faults.unknown_outcome()
        return result

    monkeypatch.setattr(transactions.Database, "run", lose_answer)
    vm = await server.vm("test")
    with pytest.raises(errors.DatabaseUnavailable):
        await server.admin.call(vms.PAUSE, vm_id=vm.id, idempotency_key="once")

    async def paused() -> bool | None:
        return True if (await server.vm("test")).state is State.PAUSED else None

    await until(paused)


async def test_change_with_an_unknown_commit_outcome_is_carried_out(
    server: ServerWithDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was committed and the answer was lost: a repeated request with the same key must not return an operation
    that nothing runs."""
    await pause_with_lost_answer(server, monkeypatch)
    vm = await server.vm("test")
    again = await server.admin.call(vms.PAUSE, vm_id=vm.id, idempotency_key="once")
    assert (await server.ended(again)).state == "succeeded"
    assert (await server.admin.call(operations.LIST)).total == 1


async def test_look_at_an_unknown_outcome_is_repeated_whatever_the_database_answers(
    server: ServerWithDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Any] = []

    def refuse(work: Any) -> None:
        if not refused and "_start_if_accepted" in getattr(work, "__qualname__", ""):
            refused.append(work)
            raise errors.Internal("the database rejected a statement (XX000)")

    await pause_with_lost_answer(server, monkeypatch, refuse)
    assert refused


def _accepted(answers: object) -> bool:
    """Whether a transaction of the group commit accepted an operation."""
    return isinstance(answers, list) and any(isinstance(answer, tuple) for answer in answers)
