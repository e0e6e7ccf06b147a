"""The console of one VM while anybody follows it, and a little longer: it is opened again whenever that is possible."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from uuid import uuid4

import structlog

from novacron_core import errors
from novacron_core.api.consoles import ConsoleFrame, ConsoleLine, ConsoleWriter, LineState
from novacron_core.api.vms import VM, State
from novacron_server.consoles.follower import ConsoleFollower
from novacron_server.consoles.ring import Ring
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.vms.serial_console import ConsoleHeld, ConsoleOff, NoConsole, SerialConsole

_log = structlog.get_logger(__name__)
_NO_OUTPUT_IN = (State.STOPPED, State.SAVED, State.PROVISIONING, State.FAILED)
_AGAIN_S = 0.2
"""After an end: a guest that was powered off is not open any more, one that was restarted is soon."""
_RECHECK_S = {LineState.OFF: 5.0, LineState.HELD: 2.0, LineState.NONE: 10.0, LineState.UNAVAILABLE: 2.0}
"""How long until it is tried again if nothing is heard of the VM before."""


class SharedConsole:
    """Made for the first follower. `vm_now` returns the VM as it is known, None if it is gone; `find_host` its host, and
    raises HostUnavailable. Call `changed` when the VM was read again."""

    def __init__(self, vm_id: str, vm_now: Callable[[], VM | None], find_host: Callable[[], LibvirtHost]) -> None:
        self.stream = uuid4().hex
        self.ring = Ring()
        self.output_at = asyncio.get_running_loop().time()
        self.state, self.detail = LineState.OPENING, ""
        self.followers: dict[str, ConsoleFollower] = {}
        self.writer: ConsoleFollower | None = None
        self._vm_id, self._vm_now, self._find_host = vm_id, vm_now, find_host
        self._console: SerialConsole | None = None
        self._force = False
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._end_reason = ""
        self._task = asyncio.create_task(self._keep_open(), name=f"console {vm_id}")

    async def close(self) -> None:
        """Give the console back."""
        self._task.cancel()
        await asyncio.wait({self._task})

    def changed(self) -> None:
        """Something about the VM has changed: look at once whether the console can be opened."""
        self._changed.set()

    # -- the line --------------------------------------------------------------------------------------------------

    async def _keep_open(self) -> None:
        while True:
            self._changed.clear()
            try:
                wait_s = await self._follow()
            except Exception as error:  # noqa: BLE001 - only this task opens the console, so no error may end it
                _log.exception("a serial console failed", vm=self._vm_id)
                self._set(LineState.UNAVAILABLE, f"internal error: {type(error).__name__}")
                wait_s = 5.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _follow(self) -> float:
        """Open the line, if that is possible, until it ends. Returns how long to wait before the next attempt."""
        force, self._force = self._force, False
        vm = self._vm_now()
        if vm is None:
            return self._wait(LineState.NONE, "the VM does not exist any more")
        if vm.state in _NO_OUTPUT_IN or (vm.state is State.CRASHED and not vm.preserved):
            return self._wait(LineState.OFF, f"the VM is {vm.state}")
        self._ended.clear()
        try:
            host = self._find_host()
            console = await host.consoles.open(self._vm_id, self._received, self._line_ended, force=force)
        except ConsoleHeld as e:
            return self._wait(LineState.HELD, e.detail)
        except ConsoleOff as e:
            return self._wait(LineState.OFF, e.detail)
        except (NoConsole, errors.NotFound) as e:
            return self._wait(LineState.NONE, e.detail)
        except errors.NovaCronError as e:
            return self._wait(LineState.UNAVAILABLE, e.detail)
        self._console = console
        self._set(LineState.OPEN, "")
        try:
            await self._ended.wait()
        finally:
            self._console = None
            host.consoles.release(console)
        self._set(LineState.OPENING, self._end_reason)
        await asyncio.sleep(_AGAIN_S)
        return 0.0

    def _wait(self, state: LineState, detail: str) -> float:
        self._set(state, detail)
        return _RECHECK_S[state]

    def _received(self, data: bytes, dropped: int) -> None:
        if not data and not dropped:
            return
        self.ring.append(data, dropped)
        self.output_at = asyncio.get_running_loop().time()
        for follower in self.followers.values():
            follower.wake.set()

    def _line_ended(self, reason: str) -> None:
        self._end_reason = reason
        self._ended.set()

    def _set(self, state: LineState, detail: str) -> None:
        if (state, detail) != (self.state, self.detail):
            self.state, self.detail = state, detail
            self._tell(ConsoleLine(state=state, detail=detail))

    def force(self) -> None:
        """Take the line from another program. Raises Conflict when no other program has it."""
        if self.state is not LineState.HELD:
            raise errors.Conflict("no other program has the console")
        self._force = True
        self._changed.set()

    # -- followers -------------------------------------------------------------------------------------------------

    def add(self, follower: ConsoleFollower) -> None:
        """It types as well if it wants to and nobody does."""
        self.followers[follower.id] = follower
        if follower.writes and self.writer is None:
            self.writer = follower
        self._tell_writer(but=follower)

    def remove(self, follower: ConsoleFollower) -> None:
        self.followers.pop(follower.id, None)
        if self.writer is follower:
            self.writer = None
        self._tell_writer()

    def take(self, follower: ConsoleFollower, from_: str) -> str:
        """Let a follower type instead of the follower `from_`. Returns whose place it took, empty for nobody's.

        Raises Conflict when another one types than it believes, and Forbidden if it only reads.
        """
        before = self.writer
        if not follower.writes:
            raise errors.Forbidden("this console was opened to read only")
        if before is follower:
            return ""
        if before is not None and before.id != from_:
            raise errors.Conflict(f"{before.principal.username} types now")
        self.writer = follower
        taken_from = before.principal.username if before else ""
        self._tell_writer(taken_by=follower.principal.username if before else "", taken_from=taken_from)
        return taken_from

    def let_go(self, follower: ConsoleFollower) -> None:
        """Let anybody else type."""
        if self.writer is follower:
            self.writer = None
            self._tell_writer()

    async def type(self, follower: ConsoleFollower, data: bytes) -> int:
        """Type for a follower; waits while the guest does not read. Returns how many bytes were typed: fewer when the line
        has ended meanwhile, somebody else types, or the VM was paused. Raises Conflict, NotFound when the VM is not the
        follower's to see any more, Forbidden when it only reads."""
        if not follower.may_follow():
            raise errors.NotFound("VM not found")
        if self.writer is not follower:
            if self.writer is not None:
                raise errors.Conflict(f"{self.writer.principal.username} types now: take over first")
            self.take(follower, "")
        console = self._console
        follower.typed_at = asyncio.get_running_loop().time()
        if console is None or (why := self._why_not_read()):
            raise errors.Conflict(f"not typed: {why if console else self.detail or 'the console is not open'}")
        return await console.write(
            data, lambda: self.writer is follower and follower.may_follow() and not self._why_not_read()
        )

    def why_not_typed(self, follower: ConsoleFollower) -> str:
        """Why `type` has typed only a part, in words."""
        if self.writer is not None and self.writer is not follower:
            return f"{self.writer.principal.username} types now"
        return self._why_not_read() or self.detail or "the console is not open"

    def _why_not_read(self) -> str:
        """Why the guest reads nothing now, as far as that is known; empty if it may. What is typed nevertheless fills
        libvirt's buffers, and costs the console its connection."""
        vm = self._vm_now()
        return f"the VM is {vm.state}" if vm is not None and vm.state in (State.PAUSED, State.CRASHED) else ""

    def _tell_writer(self, *, taken_by: str = "", taken_from: str = "", but: ConsoleFollower | None = None) -> None:
        writer = self.writer.as_writer if self.writer else None
        self._tell(
            ConsoleWriter(writer=writer, taken_by=taken_by, taken_from=taken_from, followers=len(self.followers)), but
        )

    def _tell(self, frame: ConsoleFrame, but: ConsoleFollower | None = None) -> None:
        for follower in self.followers.values():
            if follower is not but:
                follower.tell(frame)
