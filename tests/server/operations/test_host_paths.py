"""Where things are on a host is told to administrators alone: not by a refusal, an operation, a bulk or an event."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from novacron_core import errors
from novacron_core.api import operations, stored_events, vms
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import BulkRequest
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.hypervisor.host import LibvirtHost
from tests.support.event_stream import open_stream
from tests.support.requests import create_vm, vm_request
from tests.support.server import LiveServer
from tests.support.tenants import member_of

PATH = "/srv/secret/web-01.qcow2"
SENTENCE = f"the disk {PATH} cannot be used: No space left on device"
READABLE = "the disk … cannot be used: No space left on device"


@pytest.fixture
async def bob(server: LiveServer, image: str, owner_url: str) -> AsyncIterator[Client]:
    client = await member_of(server, owner_url, "bob", "default", Role.OPERATOR)
    yield client
    await client.close()


async def refuse(*_: object, **__: object) -> None:
    raise errors.Conflict(SENTENCE)


async def test_operation_and_its_events_name_no_path_to_members(
    server: LiveServer, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LibvirtHost, "define", refuse)
    assert bob.credentials is not None
    async with open_stream(server, token=bob.credentials.token) as stream:
        ended = await server.ended(await bob.call(vms.CREATE, body=vm_request()))
        failed = await stream.event("operation.failed")
    assert ended.state is OperationState.FAILED
    assert ended.problem is not None
    assert ended.problem.detail == SENTENCE  # the administrator asked
    listed = (await bob.call(operations.LIST)).items[0]
    read = await bob.call(operations.GET, operation_id=ended.id)
    assert [found.problem and found.problem.detail for found in (listed, read)] == [READABLE] * 2
    assert failed["value"]["problem"]["detail"] == READABLE
    async with open_stream(server, token=bob.credentials.token) as stream:
        assert PATH not in str(stream.frames)
    events = (await bob.call(stored_events.LIST)).items
    assert READABLE in str(events)
    assert PATH not in str(events)
    assert PATH in str((await server.admin.call(stored_events.LIST)).items)
    for word in ("secret", PATH, "*secret*", "cannot"):
        query = stored_events.EventQuery(q=word)
        found = [(await client.call(stored_events.LIST, query=query)).total > 0 for client in (bob, server.admin)]
        assert found == [word == "cannot", True], word


async def test_bulk_names_no_path_to_members(server: LiveServer, bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    vm = await create_vm(server, start=False)
    monkeypatch.setattr(LibvirtHost, "start", refuse)
    ended = await server.ended(await bob.call(vms.BULK, body=BulkRequest(action="start", ids=[vm.id])))
    for client, reason in ((bob, READABLE), (server.admin, SENTENCE)):
        children = await client.call(operations.CHILDREN, operation_id=ended.id)
        assert [child.reason for child in children.items] == [reason]


async def test_refusal_names_no_path_to_members(
    server: LiveServer, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.parts.inventory, "require_host_up", lambda *_: _raise(errors.HostUnavailable(SENTENCE)))
    for client, detail in ((bob, READABLE), (server.admin, SENTENCE)):
        with pytest.raises(errors.HostUnavailable) as refused:
            await client.call(vms.CREATE, body=vm_request())
        assert refused.value.detail == detail


def _raise(error: Exception) -> None:
    raise error
