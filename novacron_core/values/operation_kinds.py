"""The kinds of operations: noun and verb. On the wire a kind is a string, so that a console can show a newer one."""

from __future__ import annotations

from enum import StrEnum


class OperationKind(StrEnum):
    """Every kind has words in `rules.operation_words` and a procedure on the server."""

    VM_CREATE = "vm.create"
    VM_START = "vm.start"
    VM_STOP = "vm.stop"
    VM_PAUSE = "vm.pause"
    VM_RESUME = "vm.resume"
    VM_RESTART = "vm.restart"
    VM_POWER_OFF = "vm.power-off"
    VM_RESET = "vm.reset"
    VM_DISCARD_SAVED = "vm.discard-saved"
    VM_ACKNOWLEDGE = "vm.acknowledge"
    VM_SET_UP_CONSOLE = "vm.set-up-console"
    VM_HAND_OVER = "vm.hand-over"
    VM_ADOPT = "vm.adopt"
    VM_RELEASE = "vm.release"
    VM_DELETE = "vm.delete"
    VM_BULK = "vm.bulk"
    """One action on many VMs: it submits an operation for each."""
    VOLUME_CREATE = "volume.create"
    VOLUME_RESIZE = "volume.resize"
    VOLUME_CLONE = "volume.clone"
    VOLUME_ATTACH = "volume.attach"
    VOLUME_DETACH = "volume.detach"
    VOLUME_HAND_OVER = "volume.hand-over"
    VOLUME_DELETE = "volume.delete"
    VOLUME_MOVE = "volume.move"
    POOL_SET_TIER = "pool.set-tier"
