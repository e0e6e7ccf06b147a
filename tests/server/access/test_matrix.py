"""The access matrix: every endpoint, called by everybody, about objects that are theirs, somebody else's, nobody's or
missing. What must not be reached is refused, and what is another tenant's answers as what does not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from novacron_core.api import api_tokens, operations, people, sessions, vms, volumes
from novacron_core.api.base import ListQuery
from novacron_core.api.consoles import CONSOLE
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.events import STREAM
from novacron_core.api.vms import VMCreate
from novacron_core.client import Client
from novacron_core.values.roles import Role, token_scope
from novacron_server.access import tokens
from novacron_server.runtime.routes import served
from tests.support.access_matrix import (
    ABSENT,
    NOT_ALLOWED,
    OWN,
    ROWS,
    STANDINGS,
    Objects,
    Person,
    Row,
    expected,
    is_missing,
    path_kinds,
)
from tests.support.api_tokens import create
from tests.support.images import add_image
from tests.support.requests import succeeded
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
LIMITED = "token of no VM"
TENANTS = {"default": ("viewer", "operator", "owner"), "red": ("viewer", "operator", "owner")}
PEOPLE = ["nobody", "garbage", "expired", "disabled", "administrator", LIMITED]
PEOPLE += [f"{role} of {tenant}" for tenant, roles in TENANTS.items() for role in roles]


class World:
    """Two tenants with three people, a VM and its disk each; an unmanaged VM; and what is everybody's."""

    def __init__(self, server: LiveServer, people: Mapping[str, Person], objects: Objects) -> None:
        self.server = server
        self.people = people
        self.objects = objects

    def cells(self, person: Person, endpoint: Endpoint[Any, Any, Any], row: Row) -> Iterator[dict[str, str]]:
        """The standings of the objects, by kind, for one call each."""
        kinds = list(dict.fromkeys([*path_kinds(endpoint).values(), *row.ids]))
        for standings in product(STANDINGS, repeat=len(kinds)):
            ids = [self.objects.id_of(kind, person.tenant, each) for kind, each in zip(kinds, standings, strict=True)]
            if None not in ids:
                yield dict(zip(kinds, standings, strict=True))

    async def call(
        self, http: httpx.AsyncClient, person: Person, endpoint: Endpoint[Any, Any, Any], row: Row, standings: Any
    ) -> tuple[int, Any]:
        """The status and the body of a response, without the id of its request."""
        ids = {kind: self.objects.id_of(kind, person.tenant, each) or "" for kind, each in standings.items()}
        path = endpoint.path
        for name, kind in path_kinds(endpoint).items():
            path = path.replace(f"{{{name}}}", ids[kind])
        headers = {"Authorization": f"Bearer {person.token}"} if person.token else {}
        body = row.body(ids) if row.body else None
        query = row.query(ids) if row.query else None
        answer = await http.request(str(endpoint.method), path, headers=headers, json=body, params=query)
        is_json = answer.headers.get("content-type", "").startswith(("application/json", "application/problem+json"))
        found = json.loads(answer.content) if is_json else answer.content
        if isinstance(found, dict):
            found.pop("request_id", None)
        return answer.status_code, found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(shared_server: LiveServer) -> World:
    server = shared_server
    owner_url = server.owner_url
    await add_tenant(owner_url, "red")
    add_image(server.data_dir)
    people = {
        "administrator": Person("administrator", Role.ADMINISTRATOR, "default", server.admin.credentials.token or "")
    }
    clients: dict[str, Client] = {}
    for tenant, roles in TENANTS.items():
        for role in roles:
            client = await member_of(server, owner_url, f"{role}-{tenant}", tenant, Role(role))
            people[f"{role} of {tenant}"] = Person(
                f"{role} of {tenant}", Role(role), tenant, client.credentials.token or ""
            )
            clients[f"{role} of {tenant}"] = client
    limited = await create(clients["owner of default"], "limited", filter="tag:none")
    scope, hidden = token_scope(None, "tag:none"), frozenset({"vm", "volume", "operation", "tenant"})
    people[LIMITED] = Person(LIMITED, Role.OWNER, "default", limited.token, scope, hidden)
    await _add_those_who_are_refused(server, owner_url, people)
    return World(server, people, await _objects(server, clients))


async def _add_those_who_are_refused(server: LiveServer, owner_url: str, people: dict[str, Person]) -> None:
    people["nobody"] = Person("nobody", None, "default", "")
    people["garbage"] = Person("garbage", None, "default", "garbage.of.parts")
    gone = await member_of(server, owner_url, "gone", "default", Role.OWNER)
    people["disabled"] = Person("disabled", None, "default", gone.credentials.token or "")
    claims = await server.parts.access.authenticate(gone.credentials.token or "")
    past = tokens.sign(
        server.parts.access._keys, user_id=claims.user_id, session_id=claims.session_id, role=claims.role,
        tenant=claims.tenant, epoch=0, until=datetime.now(UTC) - timedelta(minutes=1),
    )  # fmt: skip
    people["expired"] = Person("expired", None, "default", past)
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as owner:
        await owner.execute("UPDATE users SET disabled = true WHERE username = 'gone'")
    await server.parts.access._live.check()
    await gone.close()


async def _objects(server: LiveServer, clients: Mapping[str, Client]) -> Objects:
    ids: dict[str, dict[str, str]] = {
        "vm": {},
        "volume": {},
        "operation": {},
        "tenant": {},
        "user": {},
        "invitation": {},
        "session": {},
        "API token": {},
    }
    for tenant in TENANTS:
        client = clients[f"operator of {tenant}"]
        body = VMCreate(name=f"vm-{tenant}", image="empty", memory_bytes=32 << 20)
        created = await client.call(vms.CREATE, body=body)
        await succeeded(server, created)
        vm = await server.vm(created.target.name)
        disk = next(volume for volume in (await client.call(volumes.LIST)).items if volume.vm == vm.id)
        ids["vm"][tenant], ids["volume"][tenant], ids["operation"][tenant] = vm.id, disk.id, created.id
        ids["tenant"][tenant] = tenant
        owner = clients[f"owner of {tenant}"]
        found = (await owner.call(people.LIST)).items
        ids["user"][tenant] = next(each.id for each in found if each.username == f"viewer-{tenant}")
        ids["session"][tenant] = (await client.call(sessions.LIST)).items[0].id
        token = await client.call(api_tokens.CREATE, body=api_tokens.CreateApiToken(name="of-objects"))
        ids["API token"][tenant] = token.api_token.id
        ids["invitation"][tenant] = (await owner.call(people.INVITE, body=people.InvitationCreate())).invitation.id
    unmanaged = await server.vm("test")
    ids["vm"][""] = unmanaged.id
    state = server.parts.inventory.state
    ids["host"] = {"*": unmanaged.host}
    ids["pool"] = {"*": next(iter(state.storage.pools())).id}
    ids["image"] = {"*": "empty"}
    assert (await server.admin.call(operations.LIST, query=ListQuery())).total == len(TENANTS)
    server.parts.heat.keeper.look()  # at the next minute, it would begin to know the heat of the new disks
    return Objects(ids)


async def test_every_endpoint_has_a_row(world: World) -> None:
    endpoints = {row.endpoint.key for row in served(world.server.parts)} | {STREAM.key, CONSOLE.key}
    assert endpoints == ROWS.keys(), "declare in tests/support/access_matrix.py who may reach what through an endpoint"


@pytest.mark.parametrize("name", PEOPLE)
async def test_everybody_reaches_what_is_theirs_and_nothing_else(world: World, name: str) -> None:
    person, cells = world.people[name], 0
    wrong: list[tuple[Any, ...]] = []
    async with httpx.AsyncClient(base_url=world.server.url) as http:
        for endpoint in (row.endpoint for row in served(world.server.parts)):
            row = ROWS[endpoint.key]
            if row.untested:
                continue
            for standings in world.cells(person, endpoint, row):
                wanted = expected(person, endpoint, row, standings)
                if wanted is None and row.only_refusals:
                    continue
                cells += 1
                status, found = await world.call(http, person, endpoint, row, standings)
                if wanted is None:
                    right = status < 500 and (status not in NOT_ALLOWED or status in row.answers)
                else:
                    right = status == wanted
                if not right:
                    wrong.append((endpoint.key, standings, status, wanted, found))
                elif wanted == 404 and ABSENT not in standings.values():
                    missing = {
                        kind: ABSENT if each != OWN or is_missing(person, kind, each) else OWN
                        for kind, each in standings.items()
                    }
                    if (status, found) != await world.call(http, person, endpoint, row, missing):
                        wrong.append((endpoint.key, standings, "not as a missing one", found))
    assert not wrong, "\n".join(map(str, wrong))
    assert cells > 50


@pytest.mark.parametrize("name", PEOPLE)
async def test_sockets_of_the_matrix(world: World, name: str) -> None:
    person = world.people[name]
    address = world.server.url.replace("http", "ws") + "/ws/events/v1"
    headers = {"Authorization": f"Bearer {person.token}"} if person.token else {}
    if person.role is None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(address, additional_headers=headers)
        assert refused.value.response.status_code == 403
    else:
        async with connect(address, additional_headers=headers) as socket:
            assert '"hello"' in str(await socket.recv())


@pytest.mark.parametrize("name", PEOPLE)
async def test_consoles_of_the_matrix(world: World, name: str) -> None:
    person = world.people[name]
    headers = {"Authorization": f"Bearer {person.token}"} if person.token else {}
    row = Row()
    for standings in world.cells(person, CONSOLE, row):
        vm_id = world.objects.id_of("vm", person.tenant, standings["vm"])
        address = world.server.url.replace("http", "ws") + CONSOLE.path.replace("{vm_id}", str(vm_id))
        wanted = expected(person, CONSOLE, row, standings)
        if wanted is None:
            async with connect(address, additional_headers=headers) as socket:
                assert '"hello"' in str(await socket.recv())
            continue
        with pytest.raises(InvalidStatus) as refused:
            await connect(address, additional_headers=headers)
        bare = wanted == 401  # a socket that is closed before it is accepted
        assert refused.value.response.status_code == (403 if bare else wanted), standings
        assert bare or refused.value.response.body
