"""The serial consoles of one host's VMs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from novacron_server.hypervisor.connection.calls import Calls
from novacron_server.hypervisor.connection.connection import LibvirtConnection
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, schedule
from novacron_server.hypervisor.connection.uris import is_simulated
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.hypervisor.vms.serial_console import KEEPALIVE, NoConsole, SerialConsole


class HostConsoles(Calls[DomainReader]):
    """Opens and releases consoles. Each has a connection of its own; why is told in serial_console.py."""

    def __init__(self, supervisor: ConnectionSupervisor[DomainReader]) -> None:
        super().__init__(supervisor)
        self._given_back: dict[str, Future[None]] = {}
        """Of the VMs whose console was released last, until libvirt lets somebody open it again."""

    async def open(
        self,
        uuid: str,
        on_output: Callable[[bytes, int], None],
        on_end: Callable[[str], None],
        *,
        force: bool = False,
    ) -> SerialConsole:
        """Open the first serial port of a VM; see SerialConsole. Release it, also after its end.

        `force` takes it from another program that has it. Raises ConsoleHeld, ConsoleOff, NoConsole, NotFound, and
        HostUnavailable.
        """
        if (before := self._given_back.get(uuid)) is not None:  # or it would be held, by ourselves
            await asyncio.wait({asyncio.wrap_future(before)}, timeout=self._supervisor.timing.read_s)
        session, uri = self._supervisor.require(), self._supervisor.uri
        if is_simulated(uri):
            raise NoConsole("a simulated VM has no serial console")
        console = SerialConsole(asyncio.get_running_loop(), uuid, on_output, on_end)
        try:
            await self._supervisor.call(
                self._supervisor.consoles,
                lambda _: console.open(lambda: LibvirtConnection(uri, *KEEPALIVE), force=force),
                what="open the serial console",
                deadline_s=self._supervisor.timing.read_s,
            )
        except BaseException:
            self.release(console)  # the call may still open it
            raise

        def lost(reason: asyncio.Future[str]) -> None:
            # A host that hangs: sooner than by the console's own connection, and by the host's own reason.
            console.end(f"lost the connection to the host ({reason.result()})")

        session.lost.add_done_callback(lost)
        console.forget_host = lambda: session.lost.remove_done_callback(lost)
        return console

    def release(self, console: SerialConsole) -> None:
        """Give a console back, without waiting for it."""
        console.forget_host()
        loop, uuid, given_back = asyncio.get_running_loop(), console.uuid, console.given_back
        self._given_back[uuid] = given_back
        given_back.add_done_callback(lambda _: schedule(loop, self._forget, uuid, given_back))
        self._supervisor.consoles.submit(console.release)

    def _forget(self, uuid: str, given_back: Future[None]) -> None:
        if self._given_back.get(uuid) is given_back:
            del self._given_back[uuid]
