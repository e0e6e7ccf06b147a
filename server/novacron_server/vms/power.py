"""Running and stopping: the work behind the power verbs."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.api.vms import State
from novacron_core.rules.vm_actions import VMAction
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint

ASK_AGAIN_S = 30.0
GIVE_UP_S = 180.0
"""A guest that has not gone down by then will not: the operation says so, and power off is one key away."""


async def carry_out(
    run: OperationContext, inventory: Inventory, host_id: str, action: VMAction, force_after_s: int | None
) -> None:
    """Do a power verb on the operation's VM and see it done."""
    vm_id = run.operation.target.id
    host = inventory.host(host_id)
    await failpoint(f"vm.{action}:began")
    if action is VMAction.STOP:
        await _stop(run, inventory, host_id, force_after_s)
    else:
        verbs = {
            VMAction.START: host.start,
            VMAction.RESTART: host.restart,
            VMAction.RESET: host.reset,
            VMAction.POWER_OFF: host.power_off,
            VMAction.PAUSE: host.pause,
            VMAction.RESUME: host.resume,
        }
        await verbs[action](vm_id)
    await failpoint(f"vm.{action}:done")
    await inventory.refresh_vm(host_id, vm_id)


async def _stop(run: OperationContext, inventory: Inventory, host_id: str, force_after_s: int | None) -> None:
    """Press the power button until the guest is down; guests that are booting miss the first press."""
    vm_id = run.operation.target.id
    host = inventory.host(host_id)
    await run.report_step("asked the guest to shut down")
    left_s = float(force_after_s or GIVE_UP_S)
    while left_s > 0:
        await host.shutdown(vm_id)
        wait_s = min(ASK_AGAIN_S, left_s)
        if await inventory.until(vm_id, _is_down, wait_s):
            return
        left_s -= wait_s
        facts = await inventory.refresh_vm(host_id, vm_id)
        if _is_down(facts):
            return
        await run.report_step("the guest is still up: asked again")
    if force_after_s is None:
        raise errors.Conflict(f"the guest did not shut down within {GIVE_UP_S:.0f} s: power it off")
    await run.report_step("the guest did not go down in time: power off")
    await host.power_off(vm_id)


def _is_down(facts: DomainFacts | None) -> bool:
    return facts is None or facts.state in (State.STOPPED, State.CRASHED, State.SAVED)
