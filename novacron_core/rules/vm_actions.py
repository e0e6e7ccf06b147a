"""The VM state machine, in words: one sentence that refuses an action, used by the greyed key and the server's 409."""

from __future__ import annotations

from enum import StrEnum

from novacron_core.api.vms import VM, State
from novacron_core.rules.operation_words import why_busy


class Action(StrEnum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RESET = "reset"
    POWER_OFF = "power-off"
    PAUSE = "pause"
    RESUME = "resume"
    DELETE = "delete"


_ON = frozenset({State.RUNNING, State.PAUSED, State.STARTING, State.STOPPING, State.CRASHED})
_FROM: dict[Action, frozenset[State]] = {
    Action.START: frozenset({State.STOPPED, State.SAVED, State.FAILED}),
    Action.STOP: frozenset({State.RUNNING}),
    Action.RESTART: frozenset({State.RUNNING}),
    Action.RESET: frozenset({State.RUNNING, State.PAUSED, State.CRASHED}),
    Action.POWER_OFF: _ON,
    Action.PAUSE: frozenset({State.RUNNING}),
    Action.RESUME: frozenset({State.PAUSED}),
    Action.DELETE: frozenset({State.STOPPED, State.SAVED, State.FAILED}),
}
_INSTEAD: dict[tuple[Action, State], str] = {
    (Action.START, State.RUNNING): "it already runs",
    (Action.START, State.PAUSED): "resume it instead",
    (Action.STOP, State.PAUSED): "resume it first, or power it off",
    (Action.STOP, State.STOPPED): "it is already down",
    (Action.STOP, State.CRASHED): "power it off instead",
    (Action.POWER_OFF, State.STOPPED): "it is already off",
    (Action.RESUME, State.RUNNING): "it is not paused",
    (Action.RESUME, State.STOPPED): "start it instead",
    (Action.PAUSE, State.PAUSED): "it is already paused",
    (Action.DELETE, State.RUNNING): "shut it down first",
    (Action.DELETE, State.PAUSED): "power it off first",
    (Action.DELETE, State.CRASHED): "power it off first",
}
SUPERSEDES: dict[Action, frozenset[str]] = {Action.POWER_OFF: frozenset({"vm.stop", "vm.restart"})}
"""An action that may push aside a running operation of these kinds: pulling the plug on a guest that will not go."""


def why_not(action: Action, vm: VM) -> str | None:
    """The sentence that refuses `action` on `vm` now, or None when nothing is against it."""
    if vm.operation is not None and vm.operation.kind not in SUPERSEDES.get(action, frozenset()):
        return why_busy(vm.name, vm.operation)
    if vm.also_on:
        return f"{vm.name} shares its UUID with a VM on another host: give one of them another UUID first"
    if vm.state is State.UNKNOWN:
        return f"{vm.name} is unknown: its host does not answer"
    if action is Action.DELETE and vm.protected:
        return f"{vm.name} is protected: unprotect it first"
    if action is Action.DELETE and vm.foreign:
        return f"{vm.name} was not made by NovaCron: it can be run here, not deleted"
    if vm.state in _FROM[action]:
        return None
    if advice := _INSTEAD.get((action, vm.state)):
        return f"{vm.name} is {vm.state}: {advice}"
    return f"{vm.name} is {vm.state}: it cannot {action} now"
