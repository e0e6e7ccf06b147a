"""Gives a VM a serial port, a console on it and a log, each if it has none: from its next start on."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.host_console_logs import LogPlace
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import CompletedAnyway, OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure


class SetUpConsoleSteps(Steps, frozen=True):
    """Empty: it is one change of the definition, which can be repeated."""


class SetUpConsole(Procedure[SetUpConsoleSteps]):
    """Redefines the VM. Everything else in its definition stays as it is, secrets and the types of ports included."""

    kind = OperationKind.VM_SET_UP_CONSOLE
    steps = SetUpConsoleSteps
    failpoints = ("vm.set-up-console:began", "vm.set-up-console:done")

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    async def run(self, context: OperationContext[SetUpConsoleSteps]) -> None:
        """Raises Conflict when there is nothing to add by now, or the VM no longer exists, and what the host raises."""
        await failpoint("vm.set-up-console:began")
        host, vm_id = self._inventory.host(context.host_id), context.target_id
        facts, place = await host.read_domain(vm_id), await host.console_logs.place(vm_id)
        if facts is None:
            raise errors.Conflict("the VM no longer exists")
        if refused := why_not_set_up(facts, place):
            raise errors.Conflict(refused)
        is_logged = facts.serial is not None and facts.serial.log != ""
        # A VM that had this UUID before may have been another one.
        if place.path and not is_logged and (left := await host.console_logs.remove(vm_id)):
            raise errors.Conflict(f"an old log of a VM with this UUID could not be deleted: {left}")
        await host.console_logs.set_up(vm_id, place.path)
        await failpoint("vm.set-up-console:done")
        await self._inventory.refresh_vm(context.host_id, vm_id)

    async def resume(self, context: OperationContext[SetUpConsoleSteps]) -> str:
        """Do it again, unless it was done."""
        host = self._inventory.host(context.host_id)
        facts = await self._inventory.refresh_vm(context.host_id, context.target_id)
        place = await host.console_logs.place(context.target_id)
        if facts is None or why_not_set_up(facts, place) is None:
            try:
                await self.run(context)
            except errors.Conflict as e:
                return e.detail
        return CompletedAnyway("the serial console was set up")


def why_not_set_up(facts: DomainFacts, place: LogPlace) -> str | None:
    """Why nothing can be added to a VM, None if something can: a serial port, or its log where `place` has one."""
    serial = facts.later_serial
    if serial is None:
        return None
    if serial.log:
        when = "" if facts.serial is not None and facts.serial.log else ", from its next start on"
        return f"the serial console of {facts.name} is set up, and logged{when}"
    return f"{facts.name} has a serial port, and its log is off: {place.reason}" if place.reason else None
