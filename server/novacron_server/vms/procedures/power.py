"""The power actions: start, pause, resume, restart, reset, power off, and shut down, which waits for the guest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from novacron_core import errors
from novacron_core.api.vms import State
from novacron_core.rules.vm_actions import SUPERSEDES, VMAction
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure

PRESS_EVERY_S = 30.0
SHUTDOWN_TIMEOUT_S = 180.0
"""When a shutdown is reported as failed: a guest that has not shut down by then will not, and can be powered off."""


class PowerSteps(Steps, frozen=True):
    """Empty: a power action is one libvirt call, which happened or did not."""


class Power(Procedure[PowerSteps]):
    """Runs one power action on the operation's VM."""

    steps = PowerSteps

    def __init__(self, action: VMAction, inventory: Inventory) -> None:
        self.kind = OperationKind(f"vm.{action}")
        self.supersedes = SUPERSEDES.get(action, frozenset())
        self.failpoints = (f"vm.{action}:began", f"vm.{action}:done")
        self._action = action
        self._inventory = inventory

    async def run(self, context: OperationContext[PowerSteps]) -> None:
        await failpoint(f"vm.{self._action}:began")
        await self._act(context)
        await failpoint(f"vm.{self._action}:done")
        await self._inventory.refresh_vm(context.host_id, context.target_id)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        host = self._inventory.host(context.host_id)
        calls = {
            VMAction.START: host.start,
            VMAction.RESTART: host.restart,
            VMAction.RESET: host.reset,
            VMAction.POWER_OFF: host.power_off,
            VMAction.PAUSE: host.pause,
            VMAction.RESUME: host.resume,
        }
        await calls[self._action](context.target_id)

    async def resume(self, context: OperationContext[PowerSteps]) -> str:
        """Read the VM again, so that its state is shown: the call happened or did not."""
        facts = await self._inventory.refresh_vm(context.host_id, context.target_id)
        return f"the VM is {facts.state}" if facts else "the VM no longer exists"


class ShutDown(Power):
    """Presses the guest's power button until it is down; a guest that is booting misses the first press."""

    may_cancel = True

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(VMAction.STOP, inventory)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        """Raises Conflict when the guest does not shut down. The request's `force_after_s` powers it off instead."""
        force_after_s: Any = context.request.get("force_after_s")
        host_id, vm_id = context.host_id, context.target_id
        host = self._inventory.host(host_id)
        await context.report_step("asked the guest to shut down")
        left_s = float(force_after_s or SHUTDOWN_TIMEOUT_S)
        while left_s > 0:
            await host.shutdown(vm_id)
            wait_s = min(PRESS_EVERY_S, left_s)
            if await self._inventory.wait_for_vm(vm_id, _is_down, wait_s):
                return
            left_s -= wait_s
            if _is_down(await self._inventory.refresh_vm(host_id, vm_id)):
                return
            await context.report_step("still running: asked the guest again")
        if force_after_s is None:
            raise errors.Conflict(f"the guest did not respond for {SHUTDOWN_TIMEOUT_S:.0f} s: power it off")
        await context.report_step("the guest did not respond in time: powering off")
        await host.power_off(vm_id)


def _is_down(facts: DomainFacts | None) -> bool:
    return facts is None or facts.state in (State.STOPPED, State.CRASHED, State.SAVED)


def power_procedures(inventory: Inventory) -> Iterable[Power]:
    """Create one procedure for each power action."""
    actions = (
        VMAction.START,
        VMAction.RESTART,
        VMAction.RESET,
        VMAction.POWER_OFF,
        VMAction.PAUSE,
        VMAction.RESUME,
    )
    return [*(Power(action, inventory) for action in actions), ShutDown(inventory)]
