"""Operation kinds in words: `vm.power-off` is `powering off`."""

from __future__ import annotations

from novacron_core.api.operations import Operation

_DOING = {
    "vm.create": "creating",
    "vm.start": "starting",
    "vm.stop": "shutting down",
    "vm.pause": "pausing",
    "vm.resume": "resuming",
    "vm.restart": "restarting",
    "vm.power-off": "powering off",
    "vm.reset": "resetting",
    "vm.delete": "deleting",
    "volume.create": "creating",
    "volume.resize": "growing",
    "volume.clone": "copying",
    "volume.attach": "attaching a volume",
    "volume.detach": "detaching a volume",
    "volume.delete": "deleting",
    "volume.move": "moving a disk",
    "pool.set-tier": "changing its tier",
}


_NOUNS = {
    "vm.create": "creation",
    "vm.stop": "shutdown",
    "vm.delete": "deletion",
    "volume.create": "creation",
    "volume.clone": "copy",
    "volume.attach": "volume attach",
    "volume.detach": "volume detach",
    "volume.delete": "deletion",
    "volume.move": "disk move",
    "pool.set-tier": "tier change",
}


def doing(kind: str) -> str:
    """`vm.start` as `starting`; an unknown kind as its verb."""
    return _DOING.get(kind.replace("_", "-"), kind.rpartition(".")[2])


def noun(kind: str) -> str:
    """`vm.stop` as `shutdown`; other kinds as their verb: `start`."""
    return _NOUNS.get(kind.replace("_", "-"), kind.rpartition(".")[2].replace("_", "-"))


def why_busy(name: str, operation: Operation) -> str:
    """The sentence that refuses a change while another operation runs."""
    return f"{name} is busy: {doing(operation.kind)} (by {operation.actor or 'another user'})"
