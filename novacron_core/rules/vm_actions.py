"""The VM state machine, in words: one sentence that refuses an action, used by the greyed key and the server's 409."""

from __future__ import annotations

from enum import StrEnum

from novacron_core.api.vms import VM, State
from novacron_core.rules.operation_words import why_busy


class VMAction(StrEnum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RESET = "reset"
    POWER_OFF = "power-off"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"


_ON = frozenset({State.RUNNING, State.PAUSED, State.STARTING, State.STOPPING, State.CRASHED})
_FROM: dict[VMAction, frozenset[State]] = {
    VMAction.START: frozenset({State.STOPPED, State.SAVED, State.FAILED}),
    VMAction.STOP: frozenset({State.RUNNING}),
    VMAction.RESTART: frozenset({State.RUNNING}),
    VMAction.RESET: frozenset({State.RUNNING, State.PAUSED, State.CRASHED}),
    VMAction.POWER_OFF: _ON,
    VMAction.PAUSE: frozenset({State.RUNNING}),
    VMAction.RESUME: frozenset({State.PAUSED}),
    VMAction.DELETE: frozenset({State.STOPPED, State.SAVED, State.FAILED}),
}
_INSTEAD: dict[tuple[VMAction, State], str] = {
    (VMAction.START, State.RUNNING): "it already runs",
    (VMAction.START, State.PAUSED): "resume it instead",
    (VMAction.STOP, State.PAUSED): "resume it first, or power it off",
    (VMAction.STOP, State.STOPPED): "it is already down",
    (VMAction.STOP, State.CRASHED): "power it off instead",
    (VMAction.POWER_OFF, State.STOPPED): "it is already off",
    (VMAction.RESUME, State.RUNNING): "it is not paused",
    (VMAction.RESUME, State.STOPPED): "start it instead",
    (VMAction.PAUSE, State.PAUSED): "it is already paused",
    (VMAction.DELETE, State.RUNNING): "shut it down first",
    (VMAction.DELETE, State.PAUSED): "power it off first",
    (VMAction.DELETE, State.CRASHED): "power it off first",
}
SUPERSEDES: dict[VMAction, frozenset[str]] = {VMAction.POWER_OFF: frozenset({"vm.stop", "vm.restart"})}
"""An action that may push aside a running operation of these kinds: pulling the plug on a guest that will not go."""


def why_not_vm(action: VMAction, vm: VM) -> str | None:
    """The sentence that refuses `action` on `vm` now, or None when nothing is against it."""
    if vm.operation is not None and vm.operation.kind not in SUPERSEDES.get(action, frozenset()):
        return why_busy(vm.name, vm.operation)
    if vm.duplicate_on:
        return f"{vm.name} shares its UUID with a VM on another host: give one of them another UUID first"
    if vm.state is State.UNKNOWN:
        return f"{vm.name} is unknown: its host does not answer"
    if action is VMAction.DELETE and vm.protected:
        return f"{vm.name} is protected: unprotect it first"
    if action is VMAction.DELETE and vm.unmanaged:
        return f"{vm.name} was not made by NovaCron: it can be run here, not deleted"
    if vm.state in _FROM[action]:
        return None
    if advice := _INSTEAD.get((action, vm.state)):
        return f"{vm.name} is {vm.state}: {advice}"
    return f"{vm.name} is {vm.state}: it cannot {action} now"
