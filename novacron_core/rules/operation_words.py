"""Operation kinds in an operator's words: one table for progress lines, outcomes and refusals."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.operations import Operation
from novacron_core.values.operation_kinds import OperationKind as Kind


@dataclass(frozen=True, slots=True)
class Words:
    """`verb` asks for it ("move"), `doing` is shown while it runs ("moving"), `done` when it has succeeded ("moved")."""

    verb: str
    doing: str
    done: str


WORDS: dict[str, Words] = {
    Kind.VM_CREATE: Words("create", "creating", "created"),
    Kind.VM_START: Words("start", "starting", "started"),
    Kind.VM_STOP: Words("shut down", "shutting down", "shut down"),
    Kind.VM_PAUSE: Words("pause", "pausing", "paused"),
    Kind.VM_RESUME: Words("resume", "resuming", "resumed"),
    Kind.VM_RESTART: Words("restart", "restarting", "restarted"),
    Kind.VM_POWER_OFF: Words("power off", "powering off", "powered off"),
    Kind.VM_RESET: Words("reset", "resetting", "reset"),
    Kind.VM_DELETE: Words("delete", "deleting", "deleted"),
    Kind.VOLUME_CREATE: Words("create", "creating", "created"),
    Kind.VOLUME_RESIZE: Words("grow", "growing", "grown"),
    Kind.VOLUME_CLONE: Words("copy", "copying", "copied"),
    Kind.VOLUME_ATTACH: Words("attach a volume", "attaching a volume", "volume attached"),
    Kind.VOLUME_DETACH: Words("detach a volume", "detaching a volume", "volume detached"),
    Kind.VOLUME_DELETE: Words("delete", "deleting", "deleted"),
    Kind.VOLUME_MOVE: Words("move", "moving a disk", "moved"),
    Kind.POOL_SET_TIER: Words("change its tier", "changing its tier", "tier changed"),
}


def words(kind: str) -> Words:
    """The words of a kind; for one of a newer server, its verb as it is written."""
    verb = kind.rpartition(".")[2]
    return WORDS.get(kind) or Words(verb, verb, f"{verb} done")


def doing(kind: str) -> str:
    """`vm.start` as `starting`."""
    return words(kind).doing


def done(kind: str) -> str:
    """`vm.start` as `started`."""
    return words(kind).done


def why_busy(name: str, operation: Operation) -> str:
    """The sentence that refuses a change while another one runs."""
    return f"{name} is busy: {doing(operation.kind)}, by {operation.actor or 'somebody'}"
