"""Notes where the consoles' logs ended when their guests were started and restarted. Kept in memory: see `boots`."""

from __future__ import annotations

import asyncio
import time

from novacron_server.console_logs.boots import BootMark
from novacron_server.hypervisor.connection.events import Run
from novacron_server.hypervisor.vms.serial_logs import NoSerialLog
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.state import Key

_SAME_BOOT_S = 1.0
"""libvirt reports one restart of a guest twice."""
_MAX_WAITING = 10_000


class BootMarks:
    """`run` is a background task. Events of one VM are noted in their order."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._marks: dict[Key, BootMark] = {}
        self._marked_at: dict[Key, float] = {}
        self._ends: dict[Key, tuple[int, int]] = {}
        """Where the logs of VMs that are off end: nobody writes there until the next start."""
        self._waiting: asyncio.Queue[tuple[Key, Run]] = asyncio.Queue(_MAX_WAITING)
        for host in inventory.connections():
            if not host.console_logs.why_none:
                host.listen_to_runs(self._note_later)

    def of(self, key: Key) -> BootMark | None:
        return self._marks.get(key)

    def _note_later(self, key: Key, run: Run) -> None:
        try:
            self._waiting.put_nowait((key, run))
        except asyncio.QueueFull:  # a file system that does not respond: what is unknown is found by its first lines
            self._miss(key[0])

    def _miss(self, host_id: str) -> None:
        for key, mark in self._marks.items():
            if key[0] == host_id:
                self._marks[key] = BootMark(mark.inode, mark.offset, mark.before, missed=True)
        for key in [key for key in self._ends if key[0] == host_id]:
            del self._ends[key]

    async def run(self) -> None:
        """Note until cancelled."""
        while True:
            key, run = await self._waiting.get()
            await self.note(key, run)

    async def note(self, key: Key, run: Run) -> None:
        """Note one event. `lost`: the connection to the host, and events with it."""
        if run == "lost":
            self._miss(key[0])
            return
        end = self._ends.pop(key, None) if run == "started" else None
        if run == "restarted" and time.monotonic() - self._marked_at.get(key, -_SAME_BOOT_S) < _SAME_BOOT_S:
            return
        if end is None and (end := await self._end(key)) is None:
            self._marks.pop(key, None)
            return
        if run == "stopped":
            self._ends[key] = end
            return
        before = self._marks.get(key)
        self._marks[key] = BootMark(*end, before=(before.inode, before.offset) if before else None)
        self._marked_at[key] = time.monotonic()
        self._forget_gone()

    async def _end(self, key: Key) -> tuple[int, int] | None:
        known = self._inventory.state.known.get(key)
        serial = (known.facts.later_serial or known.facts.serial) if known else None
        if serial is None or not serial.log:
            return None
        try:
            return await self._inventory.host(key[0]).console_logs.end(serial.log, key[1])
        except NoSerialLog:
            return None

    def _forget_gone(self) -> None:
        known = self._inventory.state.known
        if len(self._marked_at) > 2 * len(known) + 100:
            self._marks = {key: mark for key, mark in self._marks.items() if key in known}
            self._marked_at = {key: at for key, at in self._marked_at.items() if key in known}
            self._ends = {key: end for key, end in self._ends.items() if key in known}
