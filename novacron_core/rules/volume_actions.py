"""Which changes a volume allows: the sentence that refuses one, used for unavailable keys and the server's 409."""

from __future__ import annotations

from enum import StrEnum

from novacron_core.api.operations import Operation
from novacron_core.api.vms import VM, State
from novacron_core.api.volumes import Volume
from novacron_core.rules.operation_words import why_busy
from novacron_core.values.tiers import FILE_POOLS


class VolumeAction(StrEnum):
    RESIZE = "resize"
    CLONE = "clone"
    ATTACH = "attach"
    DETACH = "detach"
    DELETE = "delete"
    MOVE = "move"
    HAND_OVER = "hand-over"


BACKING_FILE = "backing file"
"""The role of a volume of which others have made an overlay, which is now the VM's disk."""
_OFF = frozenset({State.STOPPED})
_UP = frozenset({State.RUNNING, State.PAUSED})
_SIMULATED: dict[VolumeAction, str] = {
    VolumeAction.RESIZE: "a simulated host cannot resize volumes",
    VolumeAction.MOVE: "a simulated host cannot move volumes",
}
_COPIES = frozenset({VolumeAction.CLONE, VolumeAction.MOVE})
_FILES_ONLY = {VolumeAction.CLONE: "copied", VolumeAction.MOVE: "moved", VolumeAction.RESIZE: "grown"}


def why_not_volume(
    action: VolumeAction,
    volume: Volume,
    vm: VM | None,
    *,
    operation: Operation | None,
    vm_operation: Operation | None,
    tier: str | None = None,
    pool_type: str = "",
) -> str | None:
    """The sentence that refuses `action` on `volume` now, or None when it is allowed.

    `vm` is the VM that uses the volume; for ATTACH, the VM to attach it to. `operation` runs on the volume,
    `vm_operation` on that VM. `tier` is the destination of a MOVE, `pool_type` the type of its pool, empty if
    that is unknown.
    """
    if operation is not None:
        return why_busy(volume.name, operation)
    if (unmanaged := why_not_change(volume)) is not None:
        return unmanaged
    if action is VolumeAction.HAND_OVER:
        return None if volume.vm is None else f"{volume.name} is attached to a VM: hand over the VM, or detach it first"
    if pool_type not in ("", *FILE_POOLS) and (verb := _FILES_ONLY.get(action)):
        return f"{volume.name} is in a pool of type {pool_type}: only volumes that are files can be {verb}"
    if volume.simulated and action in _SIMULATED:
        return _SIMULATED[action]
    if volume.role in ("kernel", "initrd"):
        return f"{volume.name} is a VM's {volume.role}: it belongs to the VM and is deleted with it"
    if volume.role == BACKING_FILE and action is not VolumeAction.ATTACH:
        return f"{volume.name} is the backing file of a VM's disk: merge its overlay first, or delete the VM"
    if action in _COPIES and volume.backing_file:
        return f"{volume.name} is an overlay of {volume.backing_file}: it cannot be copied without its backing file"
    if action is VolumeAction.ATTACH and volume.backing_file:
        return f"{volume.name} names {volume.backing_file} as its backing file: it cannot be attached"
    if action is VolumeAction.MOVE and tier is not None and tier == volume.tier:
        return f"{volume.name} is already in tier {tier}"
    return _why_not_use(action, volume, vm) or (_why_not_vm(action, vm, vm_operation) if vm else None)


def why_not_change(volume: Volume) -> str | None:
    """The sentence that refuses every change of a volume that NovaCron does not manage, or None."""
    return f"{volume.name} is unmanaged: it can be viewed, not changed" if volume.unmanaged else None


def _why_not_use(action: VolumeAction, volume: Volume, vm: VM | None) -> str | None:
    if action is VolumeAction.ATTACH and volume.vm is not None:
        if vm is not None and vm.id == volume.vm:
            return f"{volume.name} is already attached to {vm.name}"
        return f"{volume.name} is attached to another VM: detach it first"
    if action is VolumeAction.DETACH and volume.vm is None:
        return f"{volume.name} is not attached"
    if action is VolumeAction.ATTACH and vm is not None and vm.host != volume.host:
        return f"{volume.name} and {vm.name} are on different hosts"
    if action is VolumeAction.DELETE and volume.vm is not None:
        return f"{volume.name} is attached to {vm.name if vm else 'a VM'}: detach it first"
    if volume.vm is not None and vm is None:
        return f"{volume.name} is attached to a VM that you cannot see"
    return None


def _why_not_vm(action: VolumeAction, vm: VM, operation: Operation | None) -> str | None:
    if operation is not None:
        return why_busy(vm.name, operation)
    if vm.duplicate_on:
        return f"{vm.name} has the same UUID as a VM on another host: change one of the UUIDs first"
    if vm.state is State.UNKNOWN:
        return f"{vm.name} is in an unknown state: its host is not responding"
    if vm.unmanaged:
        return f"{vm.name} is unmanaged: NovaCron does not change its disks"
    if vm.transient:
        return f"{vm.name} is transient: libvirt forgets it when it stops, so its disks cannot be changed"
    off = vm.state in _OFF or (vm.state is State.CRASHED and not vm.preserved)
    if action is VolumeAction.CLONE and not off:
        return f"{vm.name} is {vm.state}: shut it down first; a disk in use cannot be copied consistently"
    if not off and vm.state not in _UP:
        return f"{vm.name} is {vm.state}: its disks can be changed while it is stopped or running"
    if action is VolumeAction.DETACH and vm.state is State.PAUSED:
        return f"{vm.name} is paused: resume it first, so that the guest can release the disk"
    if vm.simulated and vm.state in _UP and action in (VolumeAction.ATTACH, VolumeAction.DETACH):
        return f"{vm.name} runs on a simulated host: shut it down first"
    return None
