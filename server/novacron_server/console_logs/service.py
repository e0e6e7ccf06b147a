"""Reads the logs of serial consoles, and submits their set-up."""

from __future__ import annotations

from datetime import UTC, datetime

from novacron_core import errors
from novacron_core.api.console_logs import ConsoleLog, ConsoleLogQuery
from novacron_core.api.operations import Operation, Target
from novacron_core.api.vms import VM
from novacron_core.rules.visibility import Principal
from novacron_core.rules.vm_actions import VMAction, why_not_vm
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.console_logs.marks import BootMarks
from novacron_server.console_logs.pieces import LogPiece, LogWish, read_piece
from novacron_server.console_logs.set_up import SetUpConsoleSteps, why_not_set_up
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.vms.serial_logs import NoSerialLog
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.runner import Operations
from novacron_server.operations.submission import Submission
from novacron_server.places import Places

_AT_ONCE, _AT_ONCE_OF_ONE = 8, 4
"""Reads of logs at a time, of all tenants and of one: each holds a thread and up to 8 MiB."""
_BOOT_UNKNOWN = "where the last boot begins is not known: this is all that is kept"
_CUT = "the log was rotated or cut since the last read: what was printed in between may be missing"
_UNREAD = "its host has not been read yet, so it is not known whether its serial console is logged"


class ConsoleLogs:
    """Every method checks what the principal may see."""

    def __init__(self, inventory: Inventory, operations: Operations, marks: BootMarks) -> None:
        self._inventory = inventory
        self._operations = operations
        self._marks = marks
        self._places = Places(_AT_ONCE, _AT_ONCE_OF_ONE)

    async def read(self, principal: Principal, vm_id: str, query: ConsoleLogQuery) -> ConsoleLog:
        """A piece of the log; where it cannot be read, the answer says why. Raises NotFound."""
        vm = self._inventory.vm(principal, vm_id)
        key = (vm.host, vm.id)
        known = self._inventory.state.domain(key)
        host = self._inventory.host(vm.host)
        if host.console_logs.why_none:
            return ConsoleLog(note=host.console_logs.why_none)
        if known is None:
            return ConsoleLog(note=_UNREAD)
        facts = known.facts
        if facts.serial is None or not facts.serial.log:
            return await self._not_recorded(vm, facts)
        wish = LogWish(query.boot == "last", query.from_, query.bytes, query.tail, over=facts.is_off)
        path = facts.serial.log
        names = () if path.endswith(f"/{vm.id}.console") else self._names(vm.host)
        async with self._places.hold(principal.tenant):
            mark = self._marks.of(key)
            try:
                piece = await host.console_logs.read(path, vm.id, names, lambda log: read_piece(log, wish, mark))
            except NoSerialLog as e:
                return ConsoleLog(note=str(e))
        return _answer(piece)

    def _names(self, host_id: str) -> set[str]:
        return {known.facts.name for key, known in self._inventory.state.known.items() if key[0] == host_id}

    async def _not_recorded(self, vm: VM, facts: DomainFacts) -> ConsoleLog:
        """Say why there is no log, and whether `set_up` helps."""
        place = await self._inventory.host(vm.host).console_logs.place(vm.id)
        refused = why_not_vm(VMAction.SET_UP_CONSOLE, vm, None) or why_not_set_up(facts, place)
        if facts.serial is None:
            note = f"{vm.name} has no serial port"
        else:
            note = f"the serial console of {vm.name} is not logged"
        later = facts.later_serial
        if later is not None and later.log:
            note += " yet: it will be from its next start on"
        elif later is not None and facts.serial is None:
            note += " yet: it will have one from its next start on"
        elif place.reason and facts.serial is not None:
            note += f": {place.reason}"
        return ConsoleLog(note=note, may_set_up=refused is None)

    async def set_up(self, principal: Principal, vm_id: str, key: str) -> Operation:
        """Add what a VM lacks of a serial console that is logged. Raises NotFound, Conflict with the reason why not,
        HostUnavailable."""

        async def decide() -> Submission[SetUpConsoleSteps]:
            vm = self._inventory.vm(principal, vm_id)
            host = self._inventory.require_host_up(vm.host)
            if refused := why_not_vm(VMAction.SET_UP_CONSOLE, vm, self._inventory.state.operation_on(vm)):
                raise errors.Conflict(refused)
            known = self._inventory.state.known.get((vm.host, vm.id))
            if known is None:
                raise errors.Conflict(f"{vm.name} no longer exists")
            if refused := why_not_set_up(known.facts, await host.console_logs.place(vm.id)):
                raise errors.Conflict(refused)
            target = Target(type="vm", id=vm.id, name=vm.name)
            return Submission(target=target, host_id=vm.host, tenant=vm.tenant, steps=SetUpConsoleSteps())

        return await self._operations.submit(OperationKind.VM_SET_UP_CONSOLE, principal, key, {"vm": vm_id}, decide)


def _answer(piece: LogPiece) -> ConsoleLog:
    return ConsoleLog(
        text=piece.text,
        next=piece.cursor,
        begins_at_boot=piece.begins_at_boot,
        skipped_bytes=piece.skipped_bytes,
        more=piece.more,
        size_bytes=piece.size_bytes,
        at=datetime.fromtimestamp(piece.modified_s, UTC) if piece.modified_s is not None else None,
        recorded=True,
        note=_CUT if piece.cut else _BOOT_UNKNOWN if piece.boot_unknown and piece.size_bytes else "",
    )
