"""Keeps the crashes of VMs in the database, until a VM runs again, is powered off or is gone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.vms import State
from novacron_server.database.transactions import Connection
from novacron_server.inventory.crashes import is_over, new_crash
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import CrashRow
from novacron_server.inventory.state import Key
from novacron_server.operations.retries import retry_while_database_down
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.records import EventDraft
from novacron_server.places import for_everybody
from novacron_server.vms import repository
from novacron_server.vms.row_events import crash_event

_log = structlog.get_logger()
_RETRY_S = 1.0


class Crashes:
    """`run` is a background task. It writes what the reads of the hosts show; a read that is not written yet stays
    decided, so that a database that is down loses no crash."""

    def __init__(self, group_commit: GroupCommit, inventory: Inventory) -> None:
        self._group_commit = group_commit
        self._inventory = inventory
        self._decided: dict[Key, CrashRow | None] = {}
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        inventory.domain_read.listen(self._look)

    def _look(self, key: Key) -> None:
        """Decide what one read of a VM means for its crash: a new one, None for one that is over, or nothing new."""
        state = self._inventory.state
        known, row = state.domain(key), self._decided.get(key, state.crashes.get(key))
        if known is None or is_over(known.facts):
            if row is not None:
                self._decide(key, None)
        elif (crash := new_crash(key[0], known.facts, known.state_since, row, datetime.now(UTC))) is not None:
            lost = known.facts if key in state.lost else None
            self._decide(key, msgspec.structs.replace(crash, facts=lost))

    def _decide(self, key: Key, crash: CrashRow | None) -> None:
        self._decided[key] = crash
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            left = [key for key in list(self._decided) if not await self._try_to_write(key)]
            if left:
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _try_to_write(self, key: Key) -> bool:
        """Whether nothing is left to write about this VM. One that cannot be written keeps no other from it."""
        try:
            async with self._lock:
                await self._write(key)
        except errors.NovaCronError as e:
            _log.warning("a crash is not stored yet", vm=key[1], reason=e.detail)
        except Exception as e:  # noqa: BLE001 - the crashes of all must not wait for one that the database refuses
            _log.error("a crash cannot be stored", vm=key[1], exc_info=e)
        return key not in self._decided

    async def _write(self, key: Key) -> None:
        """Write what is decided about a VM, if anything, and wait until readers see it. Raises DatabaseUnavailable."""
        if key not in self._decided:
            return
        crash = self._decided[key]

        async def work(connection: Connection) -> tuple[None, list[EventDraft]]:
            if crash is None:
                await repository.remove_crash(connection, *key)
            else:
                await repository.put_crash(connection, crash)
            return None, [self._event(key, crash)]

        _, seq = await self._group_commit.write_numbered(work)
        await self._inventory.barrier(seq)
        if self._decided[key] is crash:  # nothing newer was seen meanwhile
            del self._decided[key]

    def _event(self, key: Key, crash: CrashRow | None) -> EventDraft:
        """Report the crash itself only when no read could: it happened while no server was running."""
        found = crash is not None and crash.at is None
        return crash_event(
            key,
            self._target(key),
            self._tenant(key),
            crash,
            kind="vm.crashed" if found else "vm.updated",
            priority=Priority.CRITICAL if found else Priority.LOW,
            note=crash.reason if crash is not None and found else "",
        )

    def _target(self, key: Key) -> Target:
        known, row = self._inventory.state.domain(key), self._inventory.state.rows.get(key)
        return Target(type="vm", id=key[1], name=known.facts.name if known else row.name if row else "")

    def _tenant(self, key: Key) -> str | None:
        row = self._inventory.state.rows.get(key)
        return row.tenant if row else None

    async def acknowledge(self, host_id: str, vm_id: str, by: str) -> None:
        """Acknowledge a VM's crash; a transient VM, of which nothing else is left, is gone then. Raises Conflict if the VM
        is not crashed any more, HostUnavailable."""
        key = (host_id, vm_id)

        async def work(connection: Connection) -> tuple[CrashRow | None, list[EventDraft]]:
            row = await repository.acknowledge_crash(connection, host_id, vm_id, by, datetime.now(UTC))
            if row is None:
                return row, []
            if gone := row.facts is not None:
                await repository.remove_crash(connection, host_id, vm_id)
            kind, left = ("vm.deleted", None) if gone else ("vm.updated", row)
            event = crash_event(key, self._target(key), self._tenant(key), left, kind=kind, priority=Priority.LOW)
            return row, [msgspec.structs.replace(event, gone=gone, actor=by)]

        facts = await self._inventory.refresh_vm(host_id, vm_id)
        if facts is None and (lost := self._inventory.state.lost.get(key)) is not None:
            facts = lost.facts
        if facts is None or facts.state not in (State.CRASHED, State.STOPPED):
            raise errors.Conflict(f"the VM is {facts.state} by now" if facts else "the VM no longer exists")
        async with self._lock:  # the crashes of all wait for it
            with for_everybody():
                await retry_while_database_down("storing a crash", lambda: self._write(key))
                row, seq = await retry_while_database_down(
                    "acknowledging a crash", lambda: self._group_commit.write_numbered(work)
                )
        if row is None:
            raise errors.Conflict("the VM has no crash to acknowledge by now")
        await self._inventory.barrier(seq)
