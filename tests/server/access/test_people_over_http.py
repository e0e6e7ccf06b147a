"""People, codes and tenants over HTTP: permissions, and another tenant's answers byte for byte like missing ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from websockets.exceptions import ConnectionClosed

from novacron_core.api import access, people, tenants
from novacron_core.api.events import CLOSE_UNAUTHENTICATED
from novacron_core.client import Client
from novacron_core.values.roles import Role
from tests.support.accounts import PASSWORD
from tests.support.event_stream import open_stream
from tests.support.fair_clock import fair_now
from tests.support.server import LiveServer

MISSING = "00000000-0000-4000-8000-000000000000"
NEW = "seven calm rivers bend"


@pytest_asyncio.fixture
async def owners(server: LiveServer) -> AsyncIterator[dict[str, Client]]:
    """The owners rita and bo, and the viewer vic, of the tenants red and blue, signed in."""
    clients = {}
    for username, tenant, role in (
        ("rita", "red", Role.OWNER),
        ("bo", "blue", Role.OWNER),
        ("vic", "red", Role.VIEWER),
    ):
        if role is Role.OWNER:
            await server.admin.call(tenants.CREATE, body=tenants.TenantCreate(id=tenant))
        body = people.PersonCreate(username=username, password=PASSWORD, tenant=tenant, role=role)
        await server.admin.call(people.CREATE, body=body)
        clients[username] = Client(server.url)
        await clients[username].sign_in(username, PASSWORD)
    yield clients
    for client in clients.values():
        await client.close()


async def ask(client: Client, method: str, path: str, body: object = None) -> httpx.Response:
    headers = {"Authorization": client.credentials.authorization, "X-Request-Id": "same"}
    async with httpx.AsyncClient(base_url=client.base_url, headers=headers) as http:
        return await http.request(method, path, json=body)


def told(response: httpx.Response) -> tuple[int, str]:
    """Status and body, without the id of the request."""
    return response.status_code, response.text.replace(response.headers["x-request-id"], "")


async def test_another_tenants_people_answer_byte_for_byte_like_missing_ones(
    server: LiveServer, owners: dict[str, Client]
) -> None:
    bo = (await owners["bo"].call(access.VALIDATE)).user
    invited = await owners["bo"].call(people.INVITE, body=people.InvitationCreate(email="x@blue.example"))
    rita = owners["rita"]

    async def answers(user: str, tenant: str, invitation: str) -> list[tuple[int, str]]:
        rows: list[tuple[str, str, object]] = [
            ("GET", f"/api/admin/users/{user}", None),
            ("PATCH", f"/api/admin/users/{user}", {"email": "a@b.c"}),
            ("PATCH", f"/api/admin/users/{user}", {"disabled": True}),
            ("DELETE", f"/api/admin/users/{user}", None),
            ("POST", f"/api/admin/users/{user}/reset-code", None),
            ("PUT", f"/api/admin/tenants/red/members/{user}", {"role": "viewer"}),
            ("PUT", f"/api/admin/tenants/{tenant}/members/{user}", {"role": "viewer"}),
            ("DELETE", f"/api/admin/tenants/red/members/{user}", None),
            ("DELETE", f"/api/admin/tenants/{tenant}/members/{user}", None),
            ("GET", f"/api/admin/tenants/{tenant}", None),
            ("PATCH", f"/api/admin/tenants/{tenant}", {"name": "x"}),
            ("DELETE", f"/api/admin/tenants/{tenant}", None),
            ("DELETE", f"/api/admin/invitations/{invitation}", None),
            ("POST", "/api/admin/invitations", {"tenant": tenant}),
            ("POST", "/api/admin/users", {"username": "eve", "password": PASSWORD, "tenant": tenant}),
            ("POST", "/auth/tenant", {"tenant": tenant}),
        ]
        return [told(await ask(rita, *row)) for row in rows]

    missing = await answers(MISSING, "nowhere", MISSING)
    foreign = await answers(bo.id, "blue", invited.invitation.id)
    assert foreign == missing
    assert {status for status, _ in missing} == {403, 404}
    assert (
        "blue" not in str(foreign) and "x@blue.example" not in (await ask(rita, "GET", "/api/admin/invitations")).text
    )
    listed = (await ask(rita, "GET", "/api/admin/users")).text
    assert "vic" in listed and not [word for word in ("blue", "ann", '"bo"') if word in listed]


@pytest.mark.parametrize("change", ["role", "remove", "disable", "delete", "reset", "password", "switch"])
async def test_open_stream_ends_within_two_seconds_of_a_change_of_access(
    server: LiveServer, owners: dict[str, Client], change: str
) -> None:
    vic = owners["vic"]
    user_id = (await vic.call(access.VALIDATE)).user.id
    token = vic.credentials.token
    if change == "switch":
        role = people.MemberRole(role=Role.VIEWER)
        await server.admin.call(people.SET_ROLE, body=role, tenant="blue", user_id=user_id)
        await vic.sign_in("vic", PASSWORD)
        token = vic.credentials.token
    if change == "reset":
        code = (await owners["rita"].call(people.CREATE_RESET_CODE, user_id=user_id)).code
    async with open_stream(server, token=token) as stream:
        began = fair_now()
        if change == "role":
            role = people.MemberRole(role=Role.OPERATOR)
            await owners["rita"].call(people.SET_ROLE, body=role, tenant="red", user_id=user_id)
        elif change == "remove":
            await owners["rita"].call(people.REMOVE_MEMBER, tenant="red", user_id=user_id)
        elif change == "disable":
            await server.admin.call(people.CHANGE, body=people.PersonChange(disabled=True), user_id=user_id)
        elif change == "delete":
            await server.admin.call(people.DELETE, user_id=user_id)
        elif change == "reset":
            body = access.PasswordReset(username="vic", code=code, new_password=NEW)
            await vic.call(access.RESET_PASSWORD, body=body)
        elif change == "password":
            await vic.call(access.CHANGE_PASSWORD, body=access.PasswordChange(old=PASSWORD, new=NEW))
        else:
            await vic.call(access.SWITCH_TENANT, body=access.SwitchTenant(tenant="blue"))
        with pytest.raises(ConnectionClosed) as closed:
            await stream.until(lambda frame: False)
        assert fair_now() - began < 2.5
    assert closed.value.rcvd is not None and closed.value.rcvd.code == CLOSE_UNAUTHENTICATED
    vic.credentials.token, vic.credentials.refresh_token = token, ""
    assert (await ask(vic, "GET", "/auth/validate")).status_code == 401


async def test_viewers_and_strangers_manage_nobody(server: LiveServer, owners: dict[str, Client]) -> None:
    rows = [
        row
        for module in (people, tenants)
        for row in vars(module).values()
        if type(row).__name__ == "Endpoint" and row.path.startswith("/api/admin/")
    ]
    assert len(rows) == 17
    stranger = Client(server.url)
    stranger.credentials.token = "nonsense"
    for row in rows:
        path = row.path.replace("{user_id}", MISSING).replace("{tenant}", "red").replace("{invitation_id}", MISSING)
        assert (await ask(owners["vic"], str(row.method), path, {})).status_code == 403, row.key
        assert (await ask(stranger, str(row.method), path, {})).status_code == 401, row.key
    await stranger.close()


async def test_people_work_side_by_side(server: LiveServer, owners: dict[str, Client]) -> None:
    """An invitation is taken up, a role taken away, a password forgotten, and the session goes on elsewhere."""
    code = (await owners["rita"].call(people.INVITE, body=people.InvitationCreate(role=Role.OPERATOR))).code
    async with Client(server.url) as eve:
        body = access.AcceptInvitation(code=code, username="eve", password=PASSWORD)
        user = (await eve.call(access.ACCEPT_INVITATION, body=body)).user
        await eve.sign_in("eve", PASSWORD)
        second = (await owners["bo"].call(people.INVITE, body=people.InvitationCreate())).code
        assert (await eve.call(access.JOIN, body=access.Join(code=second))).tenant == "blue"
        kept = eve.credentials.refresh_token
        eve.credentials.take(await eve.call(access.SWITCH_TENANT, body=access.SwitchTenant(tenant="blue")))
        assert eve.credentials.refresh_token == kept
        await eve.refresh()
        assert (await eve.call(access.VALIDATE)).user.tenant == "blue"
        await owners["bo"].call(people.REMOVE_MEMBER, tenant="blue", user_id=user.id)
        assert (await eve.call(access.VALIDATE)).user.tenant == "red"  # refreshed on the way
        made = await owners["rita"].call(people.CREATE_RESET_CODE, user_id=user.id)
        reset = access.PasswordReset(username="eve", code=made.code, new_password=NEW)
        await eve.call(access.RESET_PASSWORD, body=reset)
        await eve.sign_in("eve", NEW)
        change = access.PasswordChange(old=NEW, new="eight loud rivers bend")
        await eve.call(access.CHANGE_PASSWORD, body=change)
        assert (await ask(eve, "GET", "/auth/validate")).status_code == 401


async def test_bad_requests_name_their_field(server: LiveServer) -> None:
    for method, path, body, field in (
        ("POST", "/api/admin/users", {"username": "Eve", "password": PASSWORD}, "username"),
        ("POST", "/api/admin/users", {"username": "eve", "password": PASSWORD, "tenant": "*"}, "tenant"),
        ("POST", "/api/admin/tenants", {"id": "*"}, "id"),
        ("POST", "/api/admin/tenants", {"id": "a", "max_vms": -1}, "max_vms"),
        ("POST", "/api/admin/tenants", {"id": "a", "max_disk_bytes": {"tepid": 1}}, "max_disk_bytes"),
        ("PATCH", "/api/admin/tenants/default", {"max_vms": "many"}, "max_vms"),
        ("POST", "/api/admin/invitations", {"expires_in_hours": 0}, "expires_in_hours"),
        ("POST", "/api/admin/invitations", {"role": "administrator"}, "role"),
        ("POST", "/auth/invitation", {"code": "x" * 129, "username": "eve", "password": PASSWORD}, "code"),
        ("POST", "/auth/password", {"old": PASSWORD, "new": "short"}, "new"),
        ("POST", "/auth/password-reset", {"username": "ann", "code": "x", "new_password": "short"}, "new_password"),
    ):  # fmt: skip
        response = await ask(server.admin, method, path, body)
        assert response.status_code == 422, (path, response.text)
        assert field in response.json()["errors"][0]["field"], response.text
