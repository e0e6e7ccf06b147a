"""A long read of a host that ends after a shorter, later one does not overwrite its newer facts."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from novacron_core.api import vms
from novacron_core.api.vms import State
from novacron_server.inventory import host_sync
from tests.support.requests import create_vm, succeeded
from tests.support.server import LiveServer


async def test_long_read_does_not_overwrite_newer_facts(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await create_vm(server, start=False)
    sync = next(iter(server.parts.inventory._syncs.values()))
    read, seen, go, notified = sync.host.read_domains, asyncio.Event(), asyncio.Event(), []

    async def slowly() -> Any:
        answer = await read()
        seen.set()
        await go.wait()
        return answer

    monkeypatch.setattr(sync.host, "read_domains", slowly)
    long_look = asyncio.create_task(sync._read_all())
    await seen.wait()
    await succeeded(server, await server.admin.call(vms.START, vm_id=vm.id))
    monkeypatch.setattr(sync._waiters, "notify", lambda vm_id, facts: notified.append((vm_id, facts and facts.state)))
    go.set()
    await long_look
    assert (vm.id, State.STOPPED) not in notified
    assert (await server.vm("web-01")).state is State.RUNNING


async def test_clock_set_back_does_not_freeze_what_is_known(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freshness is never asked of the wall clock: after a jump back, every read would look older than what is known."""
    vm = await create_vm(server)
    sync = next(iter(server.parts.inventory._syncs.values()))

    class Earlier(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(hours=1)

    read = sync.host.read_domains

    async def stopped() -> Any:
        return [
            msgspec.structs.replace(facts, state=State.STOPPED) if facts.uuid == vm.id else facts
            for facts in await read()
        ]

    monkeypatch.setattr(host_sync, "datetime", Earlier)
    monkeypatch.setattr(sync.host, "read_domains", stopped)
    await sync._read_all()
    assert (await server.vm("web-01")).state is State.STOPPED
