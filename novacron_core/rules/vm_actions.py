"""The VM state machine: the sentence that refuses an action, used for unavailable keys and for the server's 409."""

from __future__ import annotations

from enum import StrEnum

from novacron_core.api.operations import Operation
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
    DISCARD_SAVED = "discard-saved"
    ACKNOWLEDGE = "acknowledge"
    SET_UP_CONSOLE = "set-up-console"
    HAND_OVER = "hand-over"
    ADOPT = "adopt"
    RELEASE = "release"
    DELETE = "delete"


TRANSIENT = "transient: it is gone when it stops"
"""What is said of a VM that libvirt has no definition of."""

_ON = frozenset({State.RUNNING, State.PAUSED, State.STARTING, State.STOPPING, State.MIGRATING})
_OWNERSHIP = frozenset({VMAction.HAND_OVER, VMAction.ADOPT, VMAction.RELEASE})
"""They change whose a VM is, in whatever state it is."""
_FROM: dict[VMAction, frozenset[State]] = {
    VMAction.START: frozenset({State.STOPPED, State.SAVED, State.FAILED}),
    VMAction.STOP: frozenset({State.RUNNING}),
    VMAction.RESTART: frozenset({State.RUNNING}),
    VMAction.RESET: frozenset({State.RUNNING, State.PAUSED}),
    VMAction.POWER_OFF: _ON,
    VMAction.PAUSE: frozenset({State.RUNNING}),
    VMAction.RESUME: frozenset({State.PAUSED}),
    VMAction.DISCARD_SAVED: frozenset({State.SAVED}),
    VMAction.ACKNOWLEDGE: frozenset(),
    VMAction.DELETE: frozenset({State.STOPPED, State.SAVED, State.FAILED}),
    VMAction.SET_UP_CONSOLE: _ON | {State.STOPPED, State.SAVED, State.FAILED},
}
_FROM_PRESERVED = frozenset({VMAction.POWER_OFF, VMAction.RESET, VMAction.SET_UP_CONSOLE})
"""What may be done with a crashed guest whose memory libvirt keeps."""
_FROM_CRASHED = frozenset({VMAction.START, VMAction.ACKNOWLEDGE, VMAction.DELETE, VMAction.SET_UP_CONSOLE})
"""What may be done with a crashed VM that is off."""
_REFUSALS: dict[tuple[VMAction, State], str] = {
    (VMAction.START, State.RUNNING): "is already running",
    (VMAction.START, State.PAUSED): "is paused: resume it instead",
    (VMAction.STOP, State.PAUSED): "is paused: resume it first, or power it off",
    (VMAction.STOP, State.STOPPED): "is already stopped",
    (VMAction.STOP, State.CRASHED): "has crashed and is off",
    (VMAction.RESTART, State.CRASHED): "has crashed and is off: start it instead",
    (VMAction.RESET, State.CRASHED): "has crashed and is off: start it instead",
    (VMAction.POWER_OFF, State.CRASHED): "has crashed and is already off: acknowledge the crash instead",
    (VMAction.POWER_OFF, State.STOPPED): "is already powered off",
    (VMAction.RESUME, State.RUNNING): "is not paused",
    (VMAction.RESUME, State.STOPPED): "is stopped: start it instead",
    (VMAction.PAUSE, State.PAUSED): "is already paused",
    (VMAction.POWER_OFF, State.SAVED): "is saved, not running: discard its saved memory instead",
    (VMAction.DISCARD_SAVED, State.STOPPED): "has no saved memory",
    (VMAction.DISCARD_SAVED, State.RUNNING): "is running: it has no saved memory",
    (VMAction.DELETE, State.RUNNING): "is running: shut it down first",
    (VMAction.DELETE, State.PAUSED): "is paused: power it off first",
}
_REFUSALS_PRESERVED: dict[VMAction, str] = {
    VMAction.START: "has crashed and still holds its memory: reset it, or power it off first",
    VMAction.STOP: "has crashed: power it off instead",
    VMAction.RESTART: "has crashed: reset it instead",
    VMAction.ACKNOWLEDGE: "has crashed and still holds its memory: reset it, or power it off instead",
    VMAction.DELETE: "has crashed and still holds its memory: power it off first",
}

_PARTICIPLES: dict[VMAction, str] = {
    VMAction.START: "started",
    VMAction.STOP: "shut down",
    VMAction.RESTART: "restarted",
    VMAction.RESET: "reset",
    VMAction.POWER_OFF: "powered off",
    VMAction.PAUSE: "paused",
    VMAction.RESUME: "resumed",
    VMAction.DISCARD_SAVED: "cleared of saved memory",
    VMAction.ACKNOWLEDGE: "acknowledged",
    VMAction.SET_UP_CONSOLE: "given a serial console",
    VMAction.HAND_OVER: "handed over",
    VMAction.ADOPT: "adopted",
    VMAction.RELEASE: "released",
    VMAction.DELETE: "deleted",
}
_MAKES: dict[VMAction, State] = {
    VMAction.START: State.RUNNING,
    VMAction.STOP: State.STOPPED,
    VMAction.POWER_OFF: State.STOPPED,
    VMAction.PAUSE: State.PAUSED,
    VMAction.RESUME: State.RUNNING,
    VMAction.ACKNOWLEDGE: State.STOPPED,
}
SUPERSEDES: dict[VMAction, frozenset[str]] = {
    VMAction.POWER_OFF: frozenset({"vm.stop", "vm.restart"}),
    VMAction.RESET: frozenset({"vm.restart"}),
}
"""Action → kinds of running operations that it may replace: powering off a guest that does not shut down."""


def why_not_vm(action: VMAction, vm: VM, operation: Operation | None) -> str | None:
    """The sentence that refuses `action` on `vm` now, or None when it is allowed. `operation` runs on the VM."""
    if operation is not None and operation.kind not in SUPERSEDES.get(action, frozenset()):
        return why_busy(vm.name, operation)
    if vm.duplicate_on:
        return f"{vm.name} has the same UUID as a VM on another host: change one of the UUIDs first"
    if vm.state is State.UNKNOWN:
        return f"{vm.name} is in an unknown state: its host is not responding"
    if action is VMAction.DELETE and vm.protected:
        return f"{vm.name} is protected: remove the protection first"
    if action is VMAction.DELETE and vm.unmanaged:
        return f"{vm.name} is unmanaged: NovaCron can start and stop it, but not delete it"
    if vm.transient and vm.state is State.CRASHED and not vm.preserved and action is not VMAction.ACKNOWLEDGE:
        return f"{vm.name} is gone since its crash, because it was transient: acknowledge the crash instead"
    if action in _OWNERSHIP:
        return _why_not_ownership(action, vm)
    if action is VMAction.SET_UP_CONSOLE and (vm.transient or vm.simulated):
        why = TRANSIENT if vm.transient else "simulated: it has no serial port"
        return f"{vm.name} is {why}, so it cannot be given a serial console"
    if _allows(vm, action):
        return None
    if vm.preserved and (refused := _REFUSALS_PRESERVED.get(action)):
        return f"{vm.name} {refused}"
    if action is VMAction.ACKNOWLEDGE:
        return f"{vm.name} is {vm.state}: it has no crash to acknowledge"
    if refused := _REFUSALS.get((action, vm.state)):
        return f"{vm.name} {refused}"
    return f"{vm.name} is {vm.state}: cannot be {_PARTICIPLES[action]} in this state"


def _why_not_ownership(action: VMAction, vm: VM) -> str | None:
    if vm.state is State.PROVISIONING:
        return f"{vm.name} is being created: wait until it is complete"
    if action is VMAction.ADOPT:
        if not vm.unmanaged:
            return f"{vm.name} is managed already: hand it over instead"
        return f"{vm.name} is {TRANSIENT}, so it cannot be adopted" if vm.transient else None
    return f"{vm.name} is unmanaged: it belongs to no tenant. Adopt it first" if vm.unmanaged else None


def _allows(vm: VM, action: VMAction) -> bool:
    """Whether the VM's state allows the action."""
    if vm.state is State.CRASHED:
        return action in (_FROM_PRESERVED if vm.preserved else _FROM_CRASHED)
    return vm.state in _FROM[action]


def state_words(vm: VM) -> str:
    """The state in words: `running`, or `unknown, was running` while its host does not respond."""
    return f"{vm.state}, was {vm.last_state}" if vm.last_state is not None else str(vm.state)


def has_effect_already(action: VMAction, vm: VM) -> bool:
    """Whether a VM already is in the state that the action leads to, and stays so: a script that repeats itself has
    nothing to do."""
    is_off = vm.state is State.CRASHED and not vm.preserved and action in (VMAction.STOP, VMAction.POWER_OFF)
    return (is_off or vm.state is _MAKES.get(action)) and vm.operation_id is None
