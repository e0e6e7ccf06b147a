"""Rights that end while a console of a real guest is open: its socket is closed, what is typed afterwards does not reach the
guest, and who else follows it stays."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from novacron_core import errors
from novacron_core.api import api_tokens, people, tenants, vms
from novacron_core.api import consoles as api
from novacron_core.api.consoles import LineState
from novacron_core.api.events import CLOSE_UNAUTHENTICATED
from novacron_core.api.ownership import HandOver
from novacron_core.api.people import MemberRole, PersonChange, PersonCreate
from novacron_core.api.vms import VM
from novacron_core.client import Client, Disconnected
from novacron_core.values.roles import Role
from novacron_server.access import tokens
from tests.support.access import execute
from tests.support.accounts import PASSWORD
from tests.support.api_tokens import create, with_token
from tests.support.consoles import SHELL, Watcher, console_close_code, console_hello, raw_console, watching
from tests.support.storage import StorageServer
from tests.support.waiting import until
from tests.support.writing_guest import add_image, started

pytestmark = [pytest.mark.qemu, pytest.mark.asyncio(loop_scope="module")]
Change = Callable[[StorageServer, VM, str], Awaitable[object]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guest(storage: StorageServer) -> AsyncIterator[VM]:
    await asyncio.to_thread(add_image, storage.server.data_dir / "images", "shell", SHELL)
    await storage.admin.call(tenants.CREATE, body=tenants.TenantCreate(id="red"))
    body = PersonCreate(username="rob", password=PASSWORD, tenant="red", role=Role.OPERATOR)
    await storage.admin.call(people.CREATE, body=body)
    vm = await started(storage, "tiny", "shell")
    async with watching(storage.admin, vm.id) as ann:
        await ann.prompt()
        ann.console.release()
    yield vm


@pytest_asyncio.fixture(loop_scope="module")
async def ann(storage: StorageServer, guest: VM) -> AsyncIterator[Watcher]:
    """Who stays, and types nothing until the others have gone."""
    async with watching(storage.admin, guest.id, write=False) as watcher:
        await watcher.in_state(LineState.OPEN)
        yield watcher


@pytest_asyncio.fixture(loop_scope="module")
async def oscar(storage: StorageServer) -> AsyncIterator[Client]:
    """A new operator."""
    client = await storage.server.member(f"oscar-{uuid.uuid4().hex[:6]}", Role.OPERATOR)
    yield client
    await client.close()


def name_of(client: Client) -> str:
    assert client.credentials.user is not None
    return client.credentials.user.username


async def user_id(storage: StorageServer, username: str) -> str:
    found = (await storage.admin.call(people.LIST)).items
    return next(person.id for person in found if person.username == username)


async def typed(opened: ClientConnection, ann: Watcher, text: str) -> None:
    """Type, and wait until the guest has it."""
    await opened.send(f"echo {text}-$((6*7))\r".encode())
    await ann.see(f"{text}-42", 30)


async def expect_nothing_typed(storage: StorageServer, guest: VM, ann: Watcher, opened: ClientConnection) -> None:
    """Type, although the right has ended. The guest must not get it, and still take what others type."""
    with suppress(ConnectionClosed):
        for _ in range(20):
            await opened.send(b"echo after-$((6*7))\r")
    async with watching(storage.admin, guest.id) as next_one:
        await next_one.prompt()
    await ann.see("ready-42")
    assert "after-" not in ann.text
    assert ann.error is None
    assert not any(isinstance(frame, Disconnected) for frame in ann.frames)


async def lower_role(storage: StorageServer, guest: VM, username: str) -> None:
    body = MemberRole(role=Role.VIEWER)
    await storage.admin.call(people.SET_ROLE, body=body, tenant="default", user_id=await user_id(storage, username))


async def disable(storage: StorageServer, guest: VM, username: str) -> None:
    await storage.admin.call(people.CHANGE, body=PersonChange(disabled=True), user_id=await user_id(storage, username))


async def hand_over(storage: StorageServer, guest: VM, username: str) -> None:
    body = HandOver(tenant="red", owner="rob")
    await storage.succeeded(await storage.admin.call(vms.HAND_OVER, body=body, vm_id=guest.id))


@pytest.mark.parametrize(
    ("change", "code", "afterwards"),
    [
        (lower_role, CLOSE_UNAUTHENTICATED, errors.Forbidden),
        (disable, CLOSE_UNAUTHENTICATED, errors.Unauthenticated),
        (hand_over, api.CLOSE_GONE, errors.NotFound),
    ],
)
async def test_change_that_takes_the_right_closes_the_console(
    storage: StorageServer,
    guest: VM,
    ann: Watcher,
    oscar: Client,
    change: Change,
    code: int,
    afterwards: type[errors.NovaCronError],
) -> None:
    async with watching(oscar, guest.id, write=False) as ours:
        await ours.in_state(LineState.OPEN)
        async with raw_console(storage.server, guest, client=oscar) as opened:
            await console_hello(opened)
            await typed(opened, ann, "before")
            await change(storage, guest, name_of(oscar))
            try:
                await expect_nothing_typed(storage, guest, ann, opened)
                assert await console_close_code(opened) == code
            finally:
                if change is hand_over:
                    back = HandOver(tenant="default", owner="ann")
                    await storage.succeeded(await storage.admin.call(vms.HAND_OVER, body=back, vm_id=guest.id))

        async def ended() -> errors.NovaCronError | None:
            return ours.error

        assert isinstance(await until(ended), afterwards)


async def test_idle_console_of_a_vm_that_was_handed_over_closes_within_two_seconds(
    storage: StorageServer, guest: VM, oscar: Client
) -> None:
    async with raw_console(storage.server, guest, "write=false", client=oscar) as opened:
        await console_hello(opened)
        await hand_over(storage, guest, "")
        try:
            async with asyncio.timeout(2.5):
                assert await console_close_code(opened) == api.CLOSE_GONE
        finally:
            back = HandOver(tenant="default", owner="ann")
            await storage.succeeded(await storage.admin.call(vms.HAND_OVER, body=back, vm_id=guest.id))


async def test_vm_given_to_a_colleague_keeps_the_console_of_who_may_still_see_it(
    storage: StorageServer, guest: VM, ann: Watcher, oscar: Client
) -> None:
    async with raw_console(storage.server, guest, client=oscar) as opened:
        await console_hello(opened)
        body = HandOver(owner=name_of(oscar))
        await storage.succeeded(await storage.admin.call(vms.HAND_OVER, body=body, vm_id=guest.id))
        await asyncio.sleep(2.5)  # longer than until it would be closed
        await typed(opened, ann, "still-mine")


async def test_api_token_types_until_it_is_revoked_and_a_read_only_one_never(
    storage: StorageServer, guest: VM, ann: Watcher, oscar: Client
) -> None:
    reader = await with_token(storage.server, oscar, "reader", read_only=True)
    with pytest.raises(InvalidStatus) as refused:
        async with raw_console(storage.server, guest, client=reader):
            pass
    assert refused.value.response.status_code == 403
    assert b"vm:console" in refused.value.response.body
    await reader.close()
    made = await create(oscar, "full")
    full = Client(storage.server.url)
    full.credentials.token = made.token
    async with raw_console(storage.server, guest, client=full) as opened:
        await console_hello(opened)
        await typed(opened, ann, "token")
        await oscar.call(api_tokens.REVOKE, token_id=made.api_token.id)
        await expect_nothing_typed(storage, guest, ann, opened)
        assert await console_close_code(opened) == CLOSE_UNAUTHENTICATED
    await full.close()


async def test_api_token_that_expires_closes_its_console(
    storage: StorageServer, guest: VM, ann: Watcher, oscar: Client
) -> None:
    made = await create(oscar, "short")
    await execute(
        storage.server.postgres.owner_url,
        f"UPDATE api_tokens SET expires_at = now() + interval '3 seconds' WHERE id = '{made.api_token.id}'",
    )
    short = Client(storage.server.url)
    short.credentials.token = made.token
    async with raw_console(storage.server, guest, client=short) as opened:
        await console_hello(opened)
        async with asyncio.timeout(6):
            assert await console_close_code(opened) == CLOSE_UNAUTHENTICATED
        await expect_nothing_typed(storage, guest, ann, opened)
    await short.close()


async def test_access_token_that_expires_closes_a_raw_socket_and_our_client_goes_on(
    storage: StorageServer, guest: VM, ann: Watcher, oscar: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "LIFETIME", timedelta(seconds=3))
    async with Client(storage.server.url) as client:
        await client.sign_in(name_of(oscar), PASSWORD)
        async with (
            raw_console(storage.server, guest, "write=false", client=client) as opened,
            watching(client, guest.id) as renews,
        ):
            await console_hello(opened)
            async with asyncio.timeout(6):
                assert await console_close_code(opened) == CLOSE_UNAUTHENTICATED
            monkeypatch.undo()

            async def renewed() -> bool | None:
                assert renews.error is None, renews.error
                return True if any(isinstance(f, Disconnected) for f in renews.frames) else None

            await until(renewed)
            await renews.in_state(LineState.OPEN)
            await renews.prompt()


async def test_console_of_a_deleted_vm_ends_for_everybody(storage: StorageServer, guest: VM, ann: Watcher) -> None:
    await storage.succeeded(await storage.admin.call(vms.POWER_OFF, vm_id=guest.id))
    await ann.in_state(LineState.OFF)
    now = await storage.server.vm(guest.name)
    query = vms.DeleteQuery(disks=True)
    await storage.succeeded(await storage.admin.call(vms.DELETE, vm_id=guest.id, query=query, if_match=now.generation))

    async def ended() -> errors.NovaCronError | None:
        return ann.error

    assert isinstance(await until(ended), errors.NotFound)
