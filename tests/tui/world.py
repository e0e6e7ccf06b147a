"""A small fixed world for the console's tests: contract structs, a wire that answers with them, and a clock that stands.

The wire is httpx's own transport interface, so the real Client with its real cleaning runs on top of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
from textual.widgets import Input

from novacron_core import PROTOCOL, __version__
from novacron_core.api import access, health, vms
from novacron_core.api.base import Page
from novacron_core.api.events import Event, Hello, Inventory, Samples
from novacron_core.api.hosts import Host, HostStatus
from novacron_core.api.images import Image
from novacron_core.api.metrics import HostSample, VMSample
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.problem import FieldError, Problem
from novacron_core.api.vms import NIC, VM, Disk, State
from novacron_core.client import Client, Live, Update
from novacron_core.rules.permissions import Role
from novacron_core.rules.units import GIB, MIB
from novacron_tui.app import Console
from novacron_tui.place import Place
from novacron_tui.safe_text import clean_json

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
PASSWORD = "correct horse battery staple"
HOST_ID = "6f1d3b5e-0000-4000-8000-000000000001"
OTHER_HOST_ID = "6f1d3b5e-0000-4000-8000-000000000002"
ADMIN = access.User(id="u1", username="ada", email="", role=Role.ADMINISTRATOR, tenant="default")
VIEWER = access.User(id="u2", username="vic", email="", role=Role.VIEWER, tenant="default")


def host(**changes: Any) -> Host:
    base = Host(
        id=HOST_ID,
        name="kvm-a",
        uri="qemu:///system",
        status=HostStatus.UP,
        virtualization="qemu",
        networks=["default"],
        cpus=8,
        memory_bytes=32 * GIB,
        memory_free_bytes=20 * GIB,
    )
    return msgspec.structs.replace(base, **changes)


def vm_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def vm(name: str, number: int, state: State = State.RUNNING, **changes: Any) -> VM:
    base = VM(
        id=vm_id(number),
        name=name,
        host=HOST_ID,
        state=state,
        vcpus=2,
        memory_bytes=GIB,
        state_since=NOW - timedelta(minutes=7 * number + 1),
        seen_at=NOW - timedelta(seconds=2),
        tenant="default",
        owner="ada",
        disks=[
            Disk(
                target="vda", bus="virtio", format="qcow2", volume="v1", source=f"hot/{name}.qcow2", size_bytes=8 * GIB
            )
        ],
        nics=[NIC(mac=f"52:54:00:00:00:{number:02x}", network="default", model="virtio", addresses=[])],
        virtualization="qemu",
        created_at=NOW - timedelta(days=number),
        generation=3,
    )
    return msgspec.structs.replace(base, **changes)


def operation(kind: str, target: VM, **changes: Any) -> Operation:
    base = Operation(
        id=f"op-{kind}-{target.name}",
        kind=kind,
        target=Target(type="vm", id=target.id, name=target.name),
        state=OperationState.RUNNING,
        created_at=NOW - timedelta(seconds=12),
        started_at=NOW - timedelta(seconds=12),
        actor="ada",
    )
    return msgspec.structs.replace(base, **changes)


def fleet() -> list[VM]:
    """Nine VMs in the states one meets."""
    return [
        vm(
            "web-01",
            1,
            nics=[NIC(mac="52:54:00:00:00:01", network="default", addresses=["192.168.122.21"])],
            tags={"tier": "web"},
        ),
        vm(
            "web-02",
            2,
            nics=[NIC(mac="52:54:00:00:00:02", network="default", addresses=["192.168.122.22"])],
            tags={"tier": "web"},
        ),
        vm("db-01", 3, vcpus=8, memory_bytes=16 * GIB, protected=True, tags={"tier": "db", "backup": ""}),
        vm("cache", 4, State.PAUSED, memory_bytes=512 * MIB),
        vm("build-runner-ubuntu-24-04", 5, State.STOPPED, vcpus=16, memory_bytes=64 * GIB),
        vm("mail", 6, State.CRASHED, reason="I/O error"),
        vm("legacy-erp", 7, State.RUNNING, foreign=True, tenant=None, owner=None, created_at=None),
        vm("staging", 8, State.STOPPED),
        vm("win-test", 9, State.SAVED, memory_bytes=4 * GIB),
    ]


def inventory(
    vms: list[VM], hosts: list[Host] | None = None, operations: list[Operation] | None = None, seq: int = 10
) -> Inventory:
    return Inventory(
        seq=seq, part=0, last=True, vms=vms, hosts=[host()] if hosts is None else hosts, operations=operations or []
    )


def event(seq: int, value: VM | Host | Operation, kind: str, /, **changes: Any) -> Event:
    noun = {VM: "vm", Host: "host", Operation: "operation"}[type(value)]
    base = Event(
        seq=seq,
        id=f"e{seq}",
        type=kind,
        source=value.host if isinstance(value, VM) else "server",
        target=Target(type=noun, id=value.id, name=getattr(value, "name", "")),
        time=NOW,
        value=msgspec.Raw(msgspec.json.encode(value)),
    )
    return msgspec.structs.replace(base, **changes)


def gone(seq: int, value: VM) -> Event:
    return event(seq, value, "vm.deleted", value=msgspec.Raw(b"null"))


def samples(seconds: int = 0, *, only: dict[str, VMSample] | None = None, host_id: str = HOST_ID) -> Samples:
    """The numbers of the fleet `seconds` after the first ones: web-01 works, db-01 is nearly full, one tells little."""
    wave = (12.0, 35.0, 64.0, 88.0, 93.0, 71.0, 40.0, 22.0)[seconds // 5 % 8]
    numbers = only or {
        vm_id(1): sample(wave, 700 * MIB, GIB, disk=(3 * MIB, 420_000), net=(1_250_000, 88_000)),
        vm_id(2): sample(wave / 3, 410 * MIB, GIB, disk=(0, 12_000), net=(45_000, 9_000)),
        vm_id(3): sample(97.0, 15 * GIB, 16 * GIB, disk=(220 * MIB, 64 * MIB), net=(9 * MIB, 31 * MIB)),
        vm_id(4): sample(0.0, 200 * MIB, 512 * MIB, disk=(0, 0), net=(0, 0)),
        vm_id(7): VMSample(
            cpu_cores=0.1, cpu_percent=5.0, memory_given_bytes=GIB, memory_note="its balloon driver tells nothing"
        ),
    }
    host = HostSample(cpu_cores=3.2, cpu_percent=40.0, memory_used_bytes=21 * GIB, memory_bytes=32 * GIB, period_s=5.0)
    return Samples(time=NOW, host=host_id, vms=numbers, hosts={host_id: host})


def sample(percent: float, used: int, given: int, *, disk: tuple[int, int], net: tuple[int, int]) -> VMSample:
    """One VM's numbers, of two vCPUs."""
    return VMSample(
        cpu_cores=percent / 50,
        cpu_percent=percent,
        memory_used_bytes=used,
        memory_given_bytes=given,
        disk_read_bytes_s=disk[0],
        disk_write_bytes_s=disk[1],
        disk_reads_s=disk[0] / 65536,
        disk_writes_s=disk[1] / 65536,
        net_received_bytes_s=net[0],
        net_sent_bytes_s=net[1],
        disk_age_s=3.0,
        memory_age_s=2.0,
    )


def live() -> Live:
    return Live(Hello(protocol=PROTOCOL, version=__version__, session="s", server_time=NOW, samples=True))


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
    calls: list[httpx.Request] = field(default_factory=list)
    hold: asyncio.Event | None = None

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
        if key == "GET /auth/validate":
            return ok(access.Validation(valid=True, user=self.user, expires_at=NOW))
        if key == "GET /api/storage/images":
            return ok(Page(items=self.images, total=len(self.images), page=1, page_size=100))
        if request.url.path.startswith("/api/vm/vms"):
            return ok(self._operation(request), 202)
        return httpx.Response(204)

    def _about(self) -> health.About:
        return health.About(
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
    if not isinstance(update, Inventory | Event):
        return update
    text = client.clean(msgspec.json.encode(update).decode())
    return msgspec.json.decode(text, type=Inventory | Event)


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time

    def pass_s(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def console(
    wire: Wire,
    stream: Stream | None = None,
    *,
    token: str = "a-token",
    place: Place | None = None,
    now: Callable[[], datetime] | None = None,
    **options: Any,
) -> Console:
    """The real console on this wire and stream; with a token it goes straight to the VM list."""
    here = place or Place("http://127.0.0.1:8090")

    async def open_place() -> Place:
        return here

    def connect(place: Place) -> Client:
        return Client(place.url, clean=clean_json, transport=wire)

    updates = stream or Stream(live(), inventory(fleet()))
    return Console(open_place, token=token, connect=connect, updates=updates, now=now or Clock(), **options)


async def until(pilot: Any, true: Callable[[], bool], what: str = "", deadline_s: float = 5.0) -> None:
    """Wait on a condition, with a deadline."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not true():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"still not so after {deadline_s} s: {what or true}")
        await pilot.pause(0.01)
    await pilot.pause()


def line_text(app: Console, id: str) -> str:
    """What the line with this id says on the screen in front."""
    from novacron_tui.widgets.line import Line

    return app.screen.query_one(f"#{id}", Line).text


def text(app: Console) -> str:
    """Everything that stands on the screen in front."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def fill(pilot: Any, *values: str) -> None:
    """Put each value into the field with the cursor, as a paste does, and press enter."""
    for value in values:
        field = pilot.app.screen.focused
        assert isinstance(field, Input), field
        field.value = value
        await pilot.pause()
        await pilot.press("enter")
