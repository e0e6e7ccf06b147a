"""What happens to accounts reaches the owners of the tenant at once, and nobody of another one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from novacron_core.api import access, audit, people, stored_events, tenants
from novacron_core.api.stored_events import EventQuery
from novacron_core.client import Client
from novacron_core.errors import NovaCronError
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.event_stream import open_stream
from tests.support.server import LiveServer


async def person(server: LiveServer, name: str, tenant: str, role: Role) -> Client:
    body = people.PersonCreate(username=name, password=PASSWORD, tenant=tenant, role=role)
    await server.admin.call(people.CREATE, body=body)
    client = Client(server.url)
    await client.sign_in(name, PASSWORD)
    return client


def about_access(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [frame for frame in frames if str(frame.get("type", "")).startswith("access.")]


async def test_owner_follows_the_own_tenant_live_and_receives_nothing_of_another(server: LiveServer) -> None:
    for tenant in ("red", "blue"):
        await server.admin.call(tenants.CREATE, body=tenants.TenantCreate(id=tenant))
    rita = await person(server, "rita", "red", Role.OWNER)
    vic = await person(server, "vic", "red", Role.VIEWER)
    bo = await person(server, "bo", "blue", Role.OWNER)
    wilma = await person(server, "wilma", "blue", Role.VIEWER)
    vics, wilmas = [(await each.call(access.VALIDATE)).user.id for each in (vic, wilma)]
    operator = people.MemberRole(role=Role.OPERATOR)
    async with (
        open_stream(server, token=rita.credentials.token or "") as of_rita,
        open_stream(server, token=vic.credentials.token or "") as of_vic,
    ):
        # Somebody of red works in blue as well: what happens there, and from where he comes, is not red's.
        await server.admin.call(people.SET_ROLE, body=operator, tenant="blue", user_id=vics)
        async with Client(server.url) as again:
            await again.sign_in("wilma", PASSWORD)
        async with Client(server.url) as wrong:
            for _ in range(3):
                with suppress(NovaCronError):  # refused, or slowed
                    await wrong.sign_in("wilma", "not the password")
        await bo.call(people.INVITE, body=people.InvitationCreate(email="x@blue.example"))
        await bo.call(people.SET_ROLE, body=operator, tenant="blue", user_id=wilmas)
        await server.admin.call(people.DELETE, user_id=wilmas)
        await server.admin.call(tenants.CHANGE, body=tenants.TenantChange(max_vms=3), tenant="blue")
        await rita.call(people.INVITE, body=people.InvitationCreate(email="y@red.example"))
        seen = await of_rita.event("access.invitation_created")
        assert (seen["tenant"], seen["actor"]) == ("red", "rita")
        assert {frame["tenant"] for frame in about_access(of_rita.frames)} == {"red"}
        assert not [frame for frame in of_rita.frames if "blue" in str(frame)]
        await server.admin.call(people.SET_ROLE, body=operator, tenant="red", user_id=vics)
        await of_rita.event("access.role_changed")
        assert about_access(of_vic.frames) == []
    listed = await rita.call(stored_events.LIST, query=EventQuery(q="type:access.*", page_size=500))
    assert {event.target.name for event in listed.items} >= {"rita", "vic"}
    assert not [event for event in listed.items if event.type == "access.warning" or "wilma" in str(event)]
    for client in (rita, vic, bo, wilma):
        await client.close()


async def test_owner_does_not_learn_from_which_tenant_somebody_comes(server: LiveServer) -> None:
    for tenant in ("red", "blue"):
        await server.admin.call(tenants.CREATE, body=tenants.TenantCreate(id=tenant))
    rita = await person(server, "rita", "red", Role.OWNER)
    wilma = await person(server, "wilma", "blue", Role.VIEWER)
    wilmas = (await wilma.call(access.VALIDATE)).user.id
    await server.admin.call(people.SET_ROLE, body=people.MemberRole(role=Role.VIEWER), tenant="red", user_id=wilmas)
    await wilma.sign_in("wilma", PASSWORD)
    async with open_stream(server, token=rita.credentials.token or "") as stream:
        await wilma.call(access.SWITCH_TENANT, body=access.SwitchTenant(tenant="red"))
        told = await stream.event("access.tenant_switched")
        assert "blue" not in str(told)
    log = await rita.call(audit.LIST, query=audit.AuditQuery(q="wilma", page_size=100))
    assert log.items
    assert "blue" not in str(log.items)
    for client in (rita, wilma):
        await client.close()
