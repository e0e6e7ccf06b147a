"""The other end of the console's line in its tests: a transport that answers the contract's paths, and an event stream.

The wire is httpx's own transport interface, so the real Client with its real cleaning runs on top of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import msgspec

from novacron_core import PROTOCOL, __version__
from novacron_core.api import access, health, vms
from novacron_core.api.base import Page
from novacron_core.api.events import Event, InventoryFrame, decode_frame, encode_inventory
from novacron_core.api.images import Image
from novacron_core.api.operations import BulkItem, BulkItemState, Operation
from novacron_core.api.problem import FieldError, Problem
from novacron_core.api.stored_events import StoredEvent
from novacron_core.client import Client, Update
from novacron_core.values.sizes import GIB, MIB
from novacron_tui.app import Console
from novacron_tui.connection.session import Updates
from novacron_tui.servers.server_ref import ServerRef
from novacron_tui.terminal.safe_text import clean_json
from tests.support.console.world import (
    ADMIN,
    HOST_ID,
    NOW,
    PASSWORD,
    Clock,
    bulk,
    fleet,
    inventory,
    live,
    operation,
    vm,
)

IMAGES = [
    Image(
        name="alpine-3.23",
        format="qcow2",
        size_bytes=GIB,
        file_bytes=61 * MIB,
        description="Alpine Linux",
        direct_boot=True,
    ),
    Image(name="broken", format="raw", size_bytes=0, file_bytes=12, problem="it is no disk image"),
]


@dataclass
class Wire(httpx.AsyncBaseTransport):
    """Answers the contract's paths. `routes` overrules a path; `calls` remembers what was asked."""

    user: access.User = ADMIN
    setup_required: bool = False
    images: list[Image] = field(default_factory=lambda: list(IMAGES))
    routes: dict[str, Callable[[httpx.Request], httpx.Response]] = field(default_factory=dict)
    events: list[StoredEvent] = field(default_factory=list)
    """The stored events, newest first. The filter is only remembered, in `calls`."""
    calls: list[httpx.Request] = field(default_factory=list)
    hold: asyncio.Event | None = None
    items: dict[str, list[BulkItem]] = field(default_factory=dict)
    """The items of each bulk, by its id."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        key = f"{request.method} {request.url.path}"
        if self.hold is not None and request.method != "GET":
            await self.hold.wait()
        if answer := self.routes.get(key):
            return answer(request)
        return self._answer(key, request)

    def _answer(self, key: str, request: httpx.Request) -> httpx.Response:
        if key == "GET /api/info":
            return ok(self._about())
        if key == "POST /auth/register":
            return ok(access.Registered(user=self.user), 201)
        if key == "POST /auth/login":
            if json.loads(request.content)["password"] != PASSWORD:
                return refuse(401, "unauthenticated", "wrong user name or password")
            return ok(access.Tokens(token="t", expires_in=900, refresh_token="r", user=self.user))
        if key == "GET /api/events":
            return ok(self._events(dict(request.url.params)))
        if key == "GET /auth/validate":
            return ok(access.Validation(valid=True, user=self.user, expires_at=NOW))
        if key == "GET /api/storage/images":
            return ok(Page(items=self.images, total=len(self.images), page=1, page_size=100))
        if key == "POST /api/vm/vms/bulk":
            return ok(self._bulk(msgspec.json.decode(request.content, type=vms.BulkRequest)), 202)
        if request.url.path.endswith("/children"):
            items = self.items.get(request.url.path.split("/")[3], [])
            return ok(Page(items=items, total=len(items), page=1, page_size=1000))
        if request.url.path.startswith("/api/vm/vms"):
            return ok(self._operation(request), 202)
        if request.url.path == "/livez":
            return httpx.Response(200, json={"status": "alive"})
        return httpx.Response(204)

    def _events(self, query: dict[str, str]) -> Page[StoredEvent]:
        size = int(query.get("page_size", 50))
        older = [e for e in self.events if e.seq < int(query.get("before", 1 << 62))]
        return Page(items=older[:size], total=len(older), page=1, page_size=size)

    def _about(self) -> health.ServerInfo:
        return health.ServerInfo(
            name="NovaCron",
            version=__version__,
            protocol=PROTOCOL,
            description="",
            endpoints=[],
            documentation="/openapi.json",
            setup_required=self.setup_required,
            registration="closed",
        )

    def _operation(self, request: httpx.Request) -> Operation:
        parts = request.url.path.split("/")
        if request.method == "POST" and len(parts) == 4:
            body = msgspec.json.decode(request.content, type=vms.VMCreate)
            return operation("vm.create", vm(body.name, 77))
        verb = parts[5] if len(parts) > 5 else "delete"
        name = next((v.name for v in fleet() if v.id == parts[4]), parts[4])
        return operation(f"vm.{verb}", vm(name, 1, id=parts[4]))

    def _bulk(self, body: vms.BulkRequest) -> Operation:
        bulk_id, ids = f"bulk-{len(self.items) + 1}", body.ids or []
        self.items[bulk_id] = [
            BulkItem(position=n, vm_id=id, name=id, state=BulkItemState.QUEUED, host=HOST_ID)
            for n, id in enumerate(ids)
        ]
        return bulk(f"vm.{body.action}", len(ids), id=bulk_id)

    def asked(self, method: str, ending: str) -> list[httpx.Request]:
        return [call for call in self.calls if call.method == method and call.url.path.endswith(ending)]


def ok(value: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(value), headers={"Content-Type": "application/json"})


def refuse(status: int, code: str, detail: str, errors: list[FieldError] | None = None, **more: Any) -> httpx.Response:
    problem = Problem(title=code, status=status, code=code, detail=detail, errors=errors or [], **more)
    return httpx.Response(status, content=msgspec.json.encode(problem))


class Stream:
    """An event stream that says what the test puts in; an exception put in is raised."""

    def __init__(self, *updates: Update | Exception) -> None:
        self.queue: asyncio.Queue[Update | Exception] = asyncio.Queue()
        self.opened: list[int | None] = []
        for update in updates:
            self.queue.put_nowait(update)

    def say(self, *updates: Update | Exception) -> None:
        for update in updates:
            self.queue.put_nowait(update)

    async def __call__(self, client: Client | None, after: int | None) -> AsyncIterator[Update]:
        self.opened.append(after)
        while True:
            update = await self.queue.get()
            if isinstance(update, Exception):
                raise update
            yield over_the_wire(update, client) if client else update


def over_the_wire(update: Update, client: Client) -> Update:
    """The frame as it comes out of the real client: encoded, cleaned and decoded again."""
    if not isinstance(update, InventoryFrame | Event):
        return update
    raw = encode_inventory(update) if isinstance(update, InventoryFrame) else msgspec.json.encode(update)
    frame = decode_frame(client.clean(raw.decode()))
    assert isinstance(frame, InventoryFrame | Event)
    return frame


def console(
    wire: Wire,
    stream: Updates | None = None,
    *,
    token: str = "a-token",
    place: ServerRef | None = None,
    now: Callable[[], datetime] | None = None,
    **options: Any,
) -> Console:
    """The real console on this wire and stream; with a token it goes straight to the VM list."""
    here = place or ServerRef("http://127.0.0.1:8090")

    async def open_server() -> ServerRef:
        return here

    def connect(place: ServerRef) -> Client:
        return Client(place.url, clean=clean_json, transport=wire)

    updates = stream or Stream(live(), inventory(fleet()))
    return Console(open_server, token=token, connect=connect, updates=updates, now=now or Clock(), **options)
