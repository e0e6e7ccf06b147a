"""A VM is not called missing by a server that has not read its host yet: who follows it would give it up."""

from __future__ import annotations

import msgspec
import pytest

from novacron_core import errors
from novacron_core.api import vms
from novacron_core.client import Disconnected
from novacron_core.values.roles import Role
from novacron_server.inventory.host_sync import HostSync
from tests.support.consoles import watching
from tests.support.requests import create_vm
from tests.support.server import LiveServer
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio
NOBODYS = "00000000-0000-4000-8000-000000000000"
UNREAD = "has not been read yet"


def as_just_started(server: LiveServer, monkeypatch: pytest.MonkeyPatch, *, down: bool) -> HostSync:
    """Put the server's host back to how it is before its first read. `down`: it does not respond."""

    async def nothing() -> None:
        pass

    (sync,) = server.parts.inventory._syncs.values()
    monkeypatch.setattr(sync, "_read_dirty", nothing)
    monkeypatch.setattr(sync, "_is_first_read", True)
    state = server.parts.inventory.state
    state.known.clear()
    state._composed.clear()
    if not down:
        sync.first_read_done.clear()
    return sync


async def test_every_id_may_be_that_of_a_vm_until_the_host_was_read(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = await server.vm("test")
    sync = as_just_started(server, monkeypatch, down=False)
    async with await server.member("vera", Role.OPERATOR) as member:
        said = set()
        for client, vm_id in ((server.admin, vm.id), (server.admin, NOBODYS), (member, vm.id), (member, NOBODYS)):
            with pytest.raises(errors.HostUnavailable, match=UNREAD) as refused:
                await client.call(vms.GET, vm_id=vm_id)
            said.add(refused.value.detail)
        assert len(said) == 1, "it tells a member nothing of VMs that are not his"
        sync.first_read_done.set()
        with pytest.raises(errors.NotFound):
            await member.call(vms.GET, vm_id=NOBODYS)


async def test_vm_of_a_host_that_is_down_since_the_start_is_not_missing(
    server: LiveServer, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create_vm(server, name="web-01", image=image)
    vm = await server.vm("web-01")
    as_just_started(server, monkeypatch, down=True)
    with pytest.raises(errors.HostUnavailable, match=UNREAD):
        await server.admin.call(vms.GET, vm_id=vm.id)
    with pytest.raises(errors.NotFound):
        await server.admin.call(vms.GET, vm_id=NOBODYS)
    row = server.parts.inventory.state.rows[(vm.host, vm.id)]
    server.parts.inventory.state.rows[(vm.host, vm.id)] = msgspec.structs.replace(row, tenant="red")
    async with await server.member("vera", Role.OPERATOR) as stranger:
        with pytest.raises(errors.NotFound):
            await stranger.call(vms.GET, vm_id=vm.id)


async def test_console_waits_for_the_host_to_be_read(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = await server.vm("test")
    sync = as_just_started(server, monkeypatch, down=False)
    async with watching(server.admin, vm.id) as watcher:

        async def refused() -> str | None:
            assert watcher.error is None, watcher.error
            return next((frame.reason for frame in watcher.frames if isinstance(frame, Disconnected)), None)

        assert UNREAD in await until(refused)
        monkeypatch.undo()
        sync._all_dirty = True
        sync._wake.set()

        async def joined() -> bool | None:
            assert watcher.error is None, watcher.error
            return True if watcher.state is not None else None

        await until(joined)
