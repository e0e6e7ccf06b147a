"""The power actions: start, pause, resume, reset and power off, and shut down and restart, which wait for the guest.

An action succeeds when its effect was seen, not when libvirt has accepted it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from novacron_core import errors
from novacron_core.api.vms import State
from novacron_core.rules.vm_actions import SUPERSEDES, VMAction
from novacron_core.values.operation_kinds import OperationKind
from novacron_server.hypervisor.facts import DomainFacts
from novacron_server.hypervisor.faults import UnusableFile
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.context import OperationContext
from novacron_server.operations.failpoints import failpoint
from novacron_server.operations.journal import Steps
from novacron_server.operations.procedures import Procedure
from novacron_server.vms.unusable_files import name_unusable_file

PRESS_EVERY_S = 30.0
GUEST_TIMEOUT_S = 180.0
"""When a shutdown or restart is reported as failed: a guest that has not reacted by then will not."""
_SETTLED_S = 2.0
"""How long a guest may be on its way down when libvirt refuses another request."""
PAUSED_AGAIN_S = 1.0
"""How soon a VM that an I/O error has paused meets the same error after it was resumed."""


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
        """Raises Conflict when libvirt accepted the action, but the VM is not in the state that it should lead to."""
        await failpoint(f"vm.{self._action}:began")
        try:
            await self._act(context)
        except errors.NovaCronError:
            with suppress(errors.NovaCronError):  # what failed may have changed the state, and its event may be late
                await self._inventory.refresh_vm(context.host_id, context.target_id)
            raise
        await failpoint(f"vm.{self._action}:done")
        facts = await self._inventory.refresh_vm(context.host_id, context.target_id)
        if facts is not None and (missed := _missed(self._action, facts)):
            raise errors.Conflict(missed)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        host = self._inventory.host(context.host_id)
        calls = {
            VMAction.RESET: host.reset,
            VMAction.POWER_OFF: host.power_off,
            VMAction.PAUSE: host.pause,
        }
        await calls[self._action](context.target_id)

    async def resume(self, context: OperationContext[PowerSteps]) -> str:
        """Read the VM again, so that its state is shown: the call happened or did not."""
        facts = await self._inventory.refresh_vm(context.host_id, context.target_id)
        return f"the VM is {facts.state}" if facts else "the VM no longer exists"


class DiscardSaved(Power):
    """Deletes the memory with which a saved VM would start."""

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(VMAction.DISCARD_SAVED, inventory)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        """Raises what the host raises, with the VM and the way out."""
        host, name = self._inventory.host(context.host_id), context.operation.target.name
        try:
            await host.discard_saved(context.target_id)
        except errors.HostUnavailable:
            raise
        except errors.NovaCronError as e:
            raise errors.Conflict(
                f"the saved memory of {name} is still there: {e.detail}. Make sure that libvirt on {host.name} can delete "
                "the files of its save directory, then discard it again"
            ) from e


class Start(Power):
    """Starts a VM, also from its saved memory."""

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(VMAction.START, inventory)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        """Raises what the host raises; for a saved VM, with the way out if its memory cannot be read."""
        host, vm_id = self._inventory.host(context.host_id), context.target_id
        before = await host.read_domain(vm_id)
        try:
            await host.start(vm_id)
        except errors.HostUnavailable:
            raise
        except errors.NovaCronError as e:
            if isinstance(e, UnusableFile) and before is not None and (named := self._name(context, e, before)):
                raise errors.Conflict(named) from e
            if before is not None and before.state is State.SAVED:
                raise errors.Conflict(
                    f"{e.detail}. If its saved memory cannot be read, discard it: the VM then starts afresh"
                ) from e
            raise

    def _name(self, context: OperationContext[PowerSteps], error: UnusableFile, facts: DomainFacts) -> str:
        # Only administrators see an unmanaged VM, and only they may see paths of the host.
        state, key = self._inventory.state, (context.host_id, context.target_id)
        return name_unusable_file(error, facts, state.storage, context.host_id, paths=key not in state.rows)


class Resume(Power):
    """Resumes a VM, and looks whether it stays so: an I/O error that has paused it may do so again at once."""

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(VMAction.RESUME, inventory)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        host, vm_id = self._inventory.host(context.host_id), context.target_id
        before = await host.read_domain(vm_id)
        await host.resume(vm_id)
        if before is not None and before.reason:
            await self._inventory.wait_for_vm(vm_id, _is_paused, PAUSED_AGAIN_S)


class GuestRequest(Power):
    """A request to the guest, repeated until it takes effect: a guest that is booting misses the first one."""

    may_cancel = True
    pending: str
    """What has not happened yet, as a sentence."""

    async def _ask(
        self,
        context: OperationContext[PowerSteps],
        ask: Callable[[str], Awaitable[None]],
        is_done: Callable[[DomainFacts | None], bool],
        limit_s: float,
        *,
        through_outages: bool = False,
    ) -> bool:
        """Returns whether the guest did it within `limit_s`, however long a call takes.

        Raises HostUnavailable, unless `through_outages`: then the guest is asked again when the host is back.
        """
        deadline = asyncio.get_running_loop().time() + limit_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while not await self._ask_once(context, ask, is_done, through_outages=through_outages):
                    pass
                return True
        return is_done(await self._inventory.refresh_vm(context.host_id, context.target_id))

    async def _ask_once(
        self,
        context: OperationContext[PowerSteps],
        ask: Callable[[str], Awaitable[None]],
        is_done: Callable[[DomainFacts | None], bool],
        *,
        through_outages: bool,
    ) -> bool:
        """Ask the guest, and wait until it does it or must be asked again. Returns whether it did it."""
        host_id, vm_id = context.host_id, context.target_id
        try:
            await ask(vm_id)
        except errors.HostUnavailable:
            if not through_outages:
                raise
            await asyncio.sleep(1)
            return False
        except errors.NovaCronError:  # the guest may be doing it at this moment
            done = is_done(await self._inventory.refresh_vm(host_id, vm_id))
            if not done and not await self._inventory.wait_for_vm(vm_id, is_done, _SETTLED_S):
                raise
            return True
        if await self._inventory.wait_for_vm(vm_id, is_done, PRESS_EVERY_S):
            return True
        if is_done(await self._inventory.refresh_vm(host_id, vm_id)):
            return True
        await context.report_step(f"{self.pending} yet: asked it again")
        return False


class ShutDown(GuestRequest):
    """Asks the guest to shut down until it is down."""

    pending = "the guest is not down"

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(VMAction.STOP, inventory)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        """Raises Conflict when the guest does not shut down. The request's `force_after_s` powers it off instead."""
        force_after_s: Any = context.request.get("force_after_s")
        host = self._inventory.host(context.host_id)
        await context.report_step("asked the guest to shut down")
        forced = force_after_s is not None
        limit_s = float(force_after_s) if forced else GUEST_TIMEOUT_S
        if await self._ask(context, host.shutdown, _is_down, limit_s, through_outages=forced):
            known = self._inventory.state.known.get((context.host_id, context.target_id))
            if known is not None and known.facts.state is State.CRASHED:
                raise errors.Conflict(f"the guest crashed instead of shutting down: {_after_crash(known.facts)}")
            return
        if not forced:
            raise errors.Conflict(f"the guest did not shut down within {GUEST_TIMEOUT_S:.0f} s: power it off")
        await context.report_step("the guest did not shut down in time: powering off")
        await host.power_off(context.target_id)


class Restart(GuestRequest):
    """Asks the guest to restart until libvirt reports that it has."""

    pending = "the guest has not restarted"

    def __init__(self, inventory: Inventory) -> None:
        super().__init__(VMAction.RESTART, inventory)

    async def _act(self, context: OperationContext[PowerSteps]) -> None:
        """Raises Conflict when the guest does not restart, or shuts down instead."""
        host, vm_id = self._inventory.host(context.host_id), context.target_id
        await context.report_step("asked the guest to restart")
        if host.simulated:
            await host.restart(vm_id)
            return
        before = host.reboots[vm_id]
        ended = lambda facts: host.reboots[vm_id] > before or _is_down(facts)  # noqa: E731
        if not await self._ask(context, host.restart, ended, GUEST_TIMEOUT_S):
            raise errors.Conflict(
                f"not confirmed: the guest has not restarted within {GUEST_TIMEOUT_S:.0f} s: reset it"
            )
        facts = await self._inventory.refresh_vm(context.host_id, vm_id)
        if facts is not None and facts.state is State.CRASHED:
            raise errors.Conflict(f"the guest crashed instead of restarting: {_after_crash(facts)}")
        if host.reboots[vm_id] == before:
            raise errors.Conflict("the guest shut down instead of restarting: start it")


def _is_down(facts: DomainFacts | None) -> bool:
    return facts is None or facts.state in (State.STOPPED, State.CRASHED, State.SAVED)


def _after_crash(facts: DomainFacts) -> str:
    return "reset it" if facts.preserved else "start it"


def _is_paused(facts: DomainFacts | None) -> bool:
    return facts is not None and facts.state is State.PAUSED


def why_not_started(facts: DomainFacts) -> str:
    """Why a VM that was started does not run, empty if it does."""
    why = f": {facts.reason}" if facts.reason else ""
    if facts.state is State.PAUSED:
        return f"the VM has started, but is paused{why}. Resume it"
    return f"the VM is {facts.state} right after its start{why}" if _is_down(facts) else ""


def _missed(action: VMAction, facts: DomainFacts) -> str:
    """Why the action has not had its effect, although libvirt has accepted it; empty if it has."""
    why = f": {facts.reason}" if facts.reason else ""
    if action is VMAction.START:
        return why_not_started(facts)
    if action is VMAction.RESUME and facts.state is State.PAUSED:
        return f"the VM is paused again{why}"
    if action is VMAction.RESET and facts.state is State.CRASHED:
        return f"the VM is still crashed{why}"
    if action is VMAction.PAUSE and facts.state is State.RUNNING:
        return "the VM still runs"
    if action is VMAction.POWER_OFF and (facts.preserved or not _is_down(facts)):
        return f"the VM is still {facts.state}{why}"
    return ""


def power_procedures(inventory: Inventory) -> Iterable[Power]:
    """Create one procedure for each power action."""
    at_once = (VMAction.RESET, VMAction.POWER_OFF, VMAction.PAUSE)
    return [
        *(Power(action, inventory) for action in at_once),
        DiscardSaved(inventory),
        Start(inventory),
        Resume(inventory),
        ShutDown(inventory),
        Restart(inventory),
    ]
