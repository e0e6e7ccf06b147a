"""Nothing that breaks while a host is connected ends the task that keeps it connected."""

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
    def forget(self, uuid: str) -> None: ...


class Keeper:
    """A supervisor of a simulated host, and every status that it reported."""

    def __init__(self, on_connect: Callable[[HostSession[Any], Any], None] = lambda session, connection: None) -> None:
        self.reported: list[tuple[HostStatus, str]] = []
        self.supervisor = ConnectionSupervisor(
            "test:///default",
            TIMING,
            Reader,
            on_status=self._note,
            on_event=lambda kind, uuid: None,
            on_connect=on_connect,
        )

    def _note(self) -> None:
        self.reported.append((self.supervisor.status, self.supervisor.detail))

    async def reports(self, wanted: tuple[HostStatus, str], times: int = 1) -> None:
        deadline = time.monotonic() + 20
        while self.reported.count(wanted) < times:
            assert time.monotonic() < deadline, self.reported
            await asyncio.sleep(0.02)


UP = (HostStatus.UP, "")


async def test_a_host_whose_answer_cannot_be_read_is_tried_again() -> None:
    answers = ["bad", "good"]

    def read(session: HostSession[Any], connection: Any) -> None:
        if answers.pop(0) == "bad":
            raise ValueError("no number in <cpu>")

    keeper = Keeper(read)
    await keeper.supervisor.open()
    await keeper.reports((HostStatus.DOWN, "internal error: ValueError: no number in <cpu>"))
    await keeper.reports(UP)
    await keeper.supervisor.close()


async def test_a_heartbeat_that_breaks_reconnects_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = Keeper()
    broken = asyncio.Event()
    send = keeper.supervisor._send_heartbeat

    async def heartbeat(session: HostSession[Any]) -> None:
        if not broken.is_set():
            broken.set()
            raise KeyError("version")
        await send(session)

    monkeypatch.setattr(keeper.supervisor, "_send_heartbeat", heartbeat)
    await keeper.supervisor.open()
    await keeper.reports((HostStatus.DOWN, "internal error: KeyError: 'version'"))
    await keeper.reports(UP, times=2)
    assert keeper.supervisor.session is not None
    await keeper.supervisor.close()
