"""Operation kinds in an operator's words: one table for progress lines, outcomes and refusals."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.operations import Operation
from novacron_core.values.operation_kinds import OperationKind as Kind


@dataclass(frozen=True, slots=True)
class Words:
    """`verb` asks for it ("shut down"), `doing` is shown while it runs ("shutting down"), `done` when it has succeeded
    ("shut down"), `noun` names it in a sentence ("shutdown failed")."""

    verb: str
    doing: str
    done: str
    noun: str


WORDS: dict[str, Words] = {
    Kind.VM_CREATE: Words("create", "creating", "created", "creation"),
    Kind.VM_START: Words("start", "starting", "started", "start"),
    Kind.VM_STOP: Words("shut down", "shutting down", "shut down", "shutdown"),
    Kind.VM_PAUSE: Words("pause", "pausing", "paused", "pause"),
    Kind.VM_RESUME: Words("resume", "resuming", "resumed", "resume"),
    Kind.VM_RESTART: Words("restart", "restart requested", "restarted", "restart"),
    Kind.VM_POWER_OFF: Words("power off", "powering off", "powered off", "power-off"),
    Kind.VM_RESET: Words("reset", "resetting", "reset", "reset"),
    Kind.VM_DISCARD_SAVED: Words(
        "discard the saved memory",
        "discarding its saved memory",
        "saved memory discarded",
        "saved-memory discard",
    ),
    Kind.VM_ACKNOWLEDGE: Words(
        "acknowledge the crash", "acknowledging the crash", "crash acknowledged", "crash acknowledgement"
    ),
    Kind.VM_SET_UP_CONSOLE: Words(
        "set up the serial console",
        "setting up its serial console",
        "serial console set up",
        "serial-console set-up",
    ),
    Kind.VM_HAND_OVER: Words("hand over", "handing over", "handed over", "handover"),
    Kind.VM_ADOPT: Words("adopt", "adopting", "adopted", "adoption"),
    Kind.VM_RELEASE: Words("release", "releasing", "released", "release"),
    Kind.VM_DELETE: Words("delete", "deleting", "deleted", "deletion"),
    Kind.VM_BULK: Words("change several VMs", "changing several VMs", "changed", "bulk action"),
    Kind.VOLUME_CREATE: Words("create", "creating", "created", "creation"),
    Kind.VOLUME_RESIZE: Words("grow", "growing", "grown", "resize"),
    Kind.VOLUME_CLONE: Words("copy", "copying", "copied", "copy"),
    Kind.VOLUME_ATTACH: Words("attach a volume", "attaching a volume", "volume attached", "volume attach"),
    Kind.VOLUME_DETACH: Words("detach a volume", "detaching a volume", "volume detached", "volume detach"),
    Kind.VOLUME_HAND_OVER: Words("hand over", "handing over", "handed over", "handover"),
    Kind.VOLUME_DELETE: Words("delete", "deleting", "deleted", "deletion"),
    Kind.VOLUME_MOVE: Words("move", "moving a disk", "moved", "disk move"),
    Kind.POOL_SET_TIER: Words("change its tier", "changing its tier", "tier changed", "tier change"),
}


def words(kind: str) -> Words:
    """The words of a kind; for one of a newer server, its verb as it is written."""
    verb = kind.rpartition(".")[2]
    return WORDS.get(kind) or Words(verb, verb, f"{verb} done", verb)


def words_of(operation: Operation) -> Words:
    """The words of an operation: those of a bulk are the words of what it does to each VM."""
    return words(operation.child_kind or operation.kind)


def doing(kind: str) -> str:
    """`vm.start` as `starting`."""
    return words(kind).doing


def done(kind: str) -> str:
    """`vm.start` as `started`."""
    return words(kind).done


def noun(kind: str) -> str:
    """`vm.stop` as `shutdown`."""
    return words(kind).noun


def why_busy(name: str, operation: Operation) -> str:
    """The sentence that refuses a change while another operation runs."""
    return f"{name} is busy: {doing(operation.kind)} (by {operation.actor or 'another user'})"
