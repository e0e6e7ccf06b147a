"""No error ends the task that keeps a host connected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from novacron_core.api.hosts import HostStatus
from novacron_server.hypervisor.connection.session import HostSession
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, Timing

TIMING = Timing(backoff_first_s=0.05, backoff_max_s=0.1, heartbeat_s=0.05)


class Reader:
    def invalidate(self, uuid: str) -> None: ...


class RecordingSupervisor:
    """A supervisor of a simulated host that records every reported status."""

    def __init__(self, on_connect: Callable[[HostSession[Any], Any], None] = lambda session, connection: None) -> None:
        self.reported: list[tuple[HostStatus, str]] = []
        self.supervisor = ConnectionSupervisor(
            "test:///default",
            TIMING,
            Reader,
            on_status=self._record,
            on_event=lambda kind, uuid: None,
            on_connect=on_connect,
        )

    def _record(self) -> None:
        self.reported.append((self.supervisor.status, self.supervisor.detail))

    async def wait_for_status(self, status: tuple[HostStatus, str], times: int = 1) -> None:
        deadline = time.monotonic() + 20
        while self.reported.count(status) < times:
            assert time.monotonic() < deadline, self.reported
            await asyncio.sleep(0.02)


UP = (HostStatus.UP, "")


async def test_host_whose_answer_cannot_be_read_is_retried() -> None:
    answers = ["bad", "good"]

    def read(session: HostSession[Any], connection: Any) -> None:
        if answers.pop(0) == "bad":
            raise ValueError("no number in <cpu>")

    recorder = RecordingSupervisor(read)
    await recorder.supervisor.open()
    await recorder.wait_for_status((HostStatus.DOWN, "internal error: ValueError: no number in <cpu>"))
    await recorder.wait_for_status(UP)
    await recorder.supervisor.close()


async def test_heartbeat_that_raises_reconnects_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = RecordingSupervisor()
    broken = asyncio.Event()
    send = recorder.supervisor._send_heartbeat

    async def heartbeat(session: HostSession[Any]) -> None:
        if not broken.is_set():
            broken.set()
            raise KeyError("version")
        await send(session)

    monkeypatch.setattr(recorder.supervisor, "_send_heartbeat", heartbeat)
    await recorder.supervisor.open()
    await recorder.wait_for_status((HostStatus.DOWN, "internal error: KeyError: 'version'"))
    await recorder.wait_for_status(UP, times=2)
    assert recorder.supervisor.session is not None
    await recorder.supervisor.close()
