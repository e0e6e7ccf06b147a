"""The WebSocket of a VM's console: one task reads what the client types and asks, another sends it what it may get."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import structlog
from litestar.handlers import WebsocketRouteHandler

from novacron_core import PROTOCOL, __version__, errors
from novacron_core.api import consoles as api
from novacron_core.api.audit import AuditResult
from novacron_core.api.operations import Target
from novacron_core.api.vms import VM
from novacron_core.rules.visibility import Principal
from novacron_server.audit.records import AuditDraft, acting, chain_of
from novacron_server.audit.refusals import Refusals
from novacron_server.consoles.console import SharedConsole
from novacron_server.consoles.follower import ConsoleFollower
from novacron_server.consoles.service import Consoles
from novacron_server.http import decoding
from novacron_server.http.websocket.gateway import Admitted, WebSocketGateway
from novacron_server.http.websocket.inbox import Inbox, InboxLimits, Socket

LIMITS = InboxLimits(messages_per_minute=6000, max_bytes=api.MAX_INPUT_BYTES)
"""A held key repeats 30 times a second, and each 32 KiB of output may be confirmed."""
CHECK_S = 1.0
"""How often it is looked whether the VM is still there, for a client that sends nothing: a lost right ends within 2 s."""
IDLE_S = 8 * 3600.0
"""After so long without a typed or printed byte a console is closed."""
_LOOK_S = 0.25
"""How often a client that is behind is looked at, to give it the tail when it stays behind."""
_TELL_TYPED_BYTES = 2048
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Seat:
    """A client at a console. `typing` is what it has sent, and `waiting` how many bytes of that are not typed yet. With
    `refusing`, bytes of it were lost and it does not know that yet."""

    socket: Socket
    principal: Principal
    vm: VM
    console: SharedConsole
    follower: ConsoleFollower
    typing: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    waiting: int = 0
    typed: int = 0
    """Bytes that are done with, `lost` ones among them."""
    told: int = 0
    lost: int = 0
    refusing: bool = False


class ConsoleSocket:
    """Serves `GET /api/vm/vms/{vm_id}/console`."""

    def __init__(
        self, gateway: WebSocketGateway, consoles: Consoles, records: Refusals, *, idle_s: float = IDLE_S
    ) -> None:
        self._gateway = gateway
        self._consoles = consoles
        self._records = records
        self._idle_s = idle_s

    def handler(self) -> WebsocketRouteHandler:
        return self._gateway.handler(api.CONSOLE, self._serve, self._check)

    def _check(self, client: Admitted[api.ConsoleQuery]) -> None:
        """Raises NotFound, HostUnavailable, Conflict, RateLimited."""
        self._consoles.check_room(self._consoles.vm(client.principal, client.path["vm_id"]), client.query)

    async def _serve(self, client: Admitted[api.ConsoleQuery]) -> None:
        vm = self._consoles.vm(client.principal, client.path["vm_id"])
        try:
            console, follower = self._consoles.join(client.principal, vm, client.query)
        except errors.RateLimited as e:
            await client.socket.send_data(
                msgspec.json.encode(api.ConsoleProblem(problem=e.problem())).decode(), mode="text"
            )
            await client.socket.close(code=1013, reason=e.code)
            return
        seat = _Seat(client.socket, client.principal, vm, console, follower)
        self._record(seat, "vm.console-open", "to read" if not client.query.write else "")
        work = {
            "console reader": self._read(Inbox(client.socket, LIMITS, "both"), seat),
            "console writer": self._write(seat),
            "console typist": self._type(seat),
            "console check": self._check_vm(seat),
        }
        began = asyncio.get_running_loop().time()
        try:
            await self._gateway.run(client, follower.close_code, lambda: follower.sent, work)
        finally:
            self._consoles.leave(vm, console, follower)
            minutes = (asyncio.get_running_loop().time() - began) / 60
            self._record(seat, "vm.console-close", f"after {minutes:.1f} min, {seat.typed - seat.lost} bytes typed")

    # -- sending -----------------------------------------------------------------------------------------------------

    async def _write(self, seat: _Seat) -> None:
        follower, console = seat.follower, seat.console
        hello = api.ConsoleHello(
            protocol=PROTOCOL,
            version=__version__,
            vm=seat.vm.id,
            stream=console.stream,
            at=follower.at,
            end=console.ring.end,
            follower=follower.id,
            state=console.state,
            detail=console.detail,
            writer=console.writer.as_writer if console.writer else None,
            followers=len(console.followers),
        )
        await _send_text(seat, msgspec.json.encode(hello))
        while True:
            follower.wake.clear()
            data = follower.next_output()
            while (frame := follower.next_frame()) is not None:
                await _send_text(seat, frame)
            if data:
                follower.sent += 1
                await seat.socket.send_data(data, mode="binary")
            elif not follower.wake.is_set():
                await self._wait(seat)

    async def _wait(self, seat: _Seat) -> None:
        """Wait until there is something to send; send a heartbeat when there is nothing for long."""
        follower = seat.follower
        behind = follower.at < seat.console.ring.end
        try:
            async with asyncio.timeout(_LOOK_S if behind else api.CONSOLE_HEARTBEAT_S):
                await follower.wake.wait()
        except TimeoutError:
            if not behind:
                follower.tell(api.ConsoleBeat(at=follower.at))

    # -- receiving ---------------------------------------------------------------------------------------------------

    async def _read(self, inbox: Inbox, seat: _Seat) -> None:
        while True:
            kind, message = await inbox.receive_kind()
            if not seat.follower.may_follow():
                seat.follower.close(api.CLOSE_GONE)
                return
            try:
                if kind == "binary":
                    self._queue(message, seat)
                else:
                    self._handle(message, seat)
            except errors.NovaCronError as e:
                seat.follower.refuse(e)

    @staticmethod
    def _queue(data: bytes, seat: _Seat) -> None:
        if seat.refusing:
            _done(seat, len(data), lost=len(data))
        elif seat.waiting + len(data) > 2 * api.INPUT_WINDOW_BYTES:
            why = "not typed: the guest has not read what was typed before"
            _lose(seat, len(data), errors.RateLimited(why))
        else:
            seat.waiting += len(data)
            seat.typing.put_nowait(data)

    async def _type(self, seat: _Seat) -> None:
        """Type what the client sends. A task of its own: a guest that does not read must not keep the client's other
        messages waiting."""
        while True:
            data = await seat.typing.get()
            typed, error = 0, None
            try:
                typed = await seat.console.type(seat.follower, data)
            except errors.NovaCronError as e:
                error = e
            seat.waiting -= len(data)
            _done(seat, typed)
            if typed < len(data):
                error = error or errors.Conflict(f"not typed: {seat.console.why_not_typed(seat.follower)}")
                _lose(seat, len(data) - typed, error)

    def _handle(self, raw: bytes, seat: _Seat) -> None:
        """Raises NovaCronError."""
        try:
            decoding.check_size(raw)
            message = msgspec.json.decode(raw, type=api.ConsoleClientMessage)
        except msgspec.DecodeError as e:
            raise errors.InvalidArgument(f"invalid message: {e}") from e
        if isinstance(message, api.Ack):
            seat.follower.confirm(message.at)
        elif isinstance(message, api.Release):
            seat.console.let_go(seat.follower)
        elif isinstance(message, api.TypeOn):
            seat.refusing = False
        elif isinstance(message, api.Force):
            seat.console.force()
            self._record(seat, "vm.console-force", "from another program")
        elif taken_from := seat.console.take(seat.follower, message.from_):
            self._record(seat, "vm.console-takeover", f"from {taken_from}")

    async def _check_vm(self, seat: _Seat) -> None:
        """Close when the VM is gone, or belongs to somebody else, and when nothing happens for hours."""
        loop = asyncio.get_running_loop()
        while not seat.follower.close_code.done():
            await asyncio.sleep(CHECK_S)
            if not seat.follower.may_follow():
                seat.follower.close(api.CLOSE_GONE)
            elif loop.time() - max(seat.follower.typed_at, seat.console.output_at) > self._idle_s:
                seat.follower.close(api.CLOSE_IDLE)

    def _record(self, seat: _Seat, action: str, detail: str) -> None:
        who = acting(seat.principal)
        _log.info(action, vm=seat.vm.id, user=who.name, address=who.address, detail=detail)
        self._records.record(
            AuditDraft(
                tenant=chain_of(seat.vm.tenant),
                action=action,
                target=Target(type="vm", id=seat.vm.id, name=seat.vm.name),
                result=AuditResult.DONE,
                actor=who,
                detail=detail,
            )
        )


def _done(seat: _Seat, size: int, *, lost: int = 0, tell: bool = False) -> None:
    seat.typed += size
    seat.lost += lost
    if tell or seat.typed - seat.told >= _TELL_TYPED_BYTES:
        seat.told = seat.typed
        seat.follower.tell(api.ConsoleTyped(bytes=seat.typed, lost=seat.lost))


def _lose(seat: _Seat, size: int, error: errors.NovaCronError) -> None:
    """Refuse this much of what was typed, and what waits behind it: the rest of a text is another text."""
    while not seat.typing.empty():
        queued = len(seat.typing.get_nowait())
        seat.waiting -= queued
        size += queued
    seat.refusing = True
    _done(seat, size, lost=size, tell=True)
    seat.follower.refuse(error, size)


async def _send_text(seat: _Seat, frame: bytes) -> None:
    seat.follower.sent += 1
    await seat.socket.send_data(frame.decode(), mode="text")
