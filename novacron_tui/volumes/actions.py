"""The actions on volumes as data: key, words, endpoint, the rule that refuses it, and what it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from novacron_core.api import images, operations, volumes
from novacron_core.rules.volume_actions import VolumeAction as V
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.store import Store
from novacron_tui.volumes import perform
from novacron_tui.volumes.entries import VolumeEntry, why_not_cancel


@dataclass(frozen=True, eq=False)
class VolumeVerb(Action[VolumeEntry]):
    """An action on a volume."""

    group: str = "Volume"


def _by_rule(action: V) -> Any:
    return lambda entry, store: entry.why_not(action, entry.vm, store)


def _why_not_attach(entry: VolumeEntry, store: Store) -> str | None:
    if entry.vm is not None:
        return f"{entry.volume.name} is attached to {entry.vm.name}: detach it first"
    return entry.why_not(V.ATTACH, None, store)


async def _move(screen: Any, _entry: VolumeEntry) -> None:
    await perform.move(screen, screen.subjects(MOVE))


async def _hand_over(screen: Any, _entry: VolumeEntry) -> None:
    await perform.hand_over(screen, screen.subjects(HAND_OVER))


async def _cancel(screen: Any, _entry: VolumeEntry) -> None:
    await perform.cancel(screen, screen.subjects(CANCEL))


async def _delete(screen: Any, _entry: VolumeEntry) -> None:
    await perform.delete(screen, screen.subjects(DELETE))


def _copy_ids(screen: Any, _entry: VolumeEntry) -> None:
    screen.copy_ids([entry.id for entry in screen.subjects(COPY_ID)])


# fmt: off
MOVE = VolumeVerb(
    "move", "m", "move", "Move the volume to another tier, also while its VM is running.", volumes.MOVE,
    _by_rule(V.MOVE), opens=True, run=_move, command="volume move {names} TIER",
)
CANCEL = VolumeVerb(
    "cancel", "C", "cancel", "Cancel the operation on the volume.", operations.CANCEL, why_not_cancel,
    Danger.REVERSIBLE, run=_cancel, command="op cancel ID",
)
GROW = VolumeVerb(
    "grow", "+", "grow", "Make the volume larger; a running guest sees the new size immediately.", volumes.RESIZE,
    _by_rule(V.RESIZE), opens=True, run=perform.grow, command="volume resize {names} SIZE",
)
CLONE = VolumeVerb(
    "clone", "n", "clone", "Copy the volume and verify the copy.", volumes.CLONE, _by_rule(V.CLONE), opens=True,
    run=perform.clone, command="volume clone {names} NEW_NAME",
)
ATTACH = VolumeVerb(
    "attach", "a", "attach", "Attach the volume to a VM.", volumes.ATTACH, _why_not_attach, opens=True,
    run=perform.attach, command="volume attach {names} VM",
)
DETACH = VolumeVerb(
    "detach", "f", "detach", "Detach the volume from its VM; its data is kept.", volumes.DETACH, _by_rule(V.DETACH),
    Danger.LOSES_WORK, run=perform.detach, command="volume detach {names}",
)
DELETE = VolumeVerb(
    "delete", "D", "delete", "Delete the volume and its data.", volumes.DELETE, _by_rule(V.DELETE), Danger.DESTROYS,
    run=_delete, command="volume delete {names}",
)
HAND_OVER = VolumeVerb(
    "hand-over", "", "hand over", "Give a volume that no VM has to a colleague, or to another tenant.", volumes.HAND_OVER,
    _by_rule(V.HAND_OVER), Danger.REVERSIBLE, opens=True, run=_hand_over, command="volume hand-over {names} --to USER",
)
CREATE = VolumeVerb(
    "create", "c", "create", "Create an empty volume.", volumes.CREATE, danger=Danger.REVERSIBLE, needs_one=False,
    opens=True, run=perform.create, command="volume create NAME --size SIZE",
)
UPLOAD = VolumeVerb(
    "upload", "i", "upload image", "Upload a disk image to create VMs from.", images.PUT,
    danger=Danger.REVERSIBLE, needs_one=False, group="Storage", opens=True, run=perform.upload_image, command="image upload FILE",
)
COPY_ID = VolumeVerb(
    "copy-id", "y", "copy id", "Copy the ids of the volumes to the terminal's clipboard.",
    run=_copy_ids,
)
# fmt: on
OF_MANY = (MOVE, CANCEL, DELETE, HAND_OVER)
"""The actions that apply to all marked volumes."""
ONE_AT_A_TIME = (GROW, CLONE, ATTACH, DETACH)
"""The actions that ask for what only one volume can have."""
VERBS = (MOVE, CANCEL, GROW, CLONE, ATTACH, DETACH, DELETE, CREATE, UPLOAD, HAND_OVER, COPY_ID)
