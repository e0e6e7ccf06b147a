"""The actions on volumes and pools as data: key, words, endpoint and the rule that refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from novacron_core.api import images, operations, pools, volumes
from novacron_core.api.pools import Pool
from novacron_core.rules.pool_actions import why_not_in_a_tier
from novacron_core.rules.volume_actions import VolumeAction as V
from novacron_tui.actions import Action, Danger
from novacron_tui.connection.store import Store
from novacron_tui.volumes.entries import VolumeEntry, why_not_cancel


@dataclass(frozen=True)
class VolumeVerb(Action[VolumeEntry]):
    """An action on a volume; `does` is its name in the rules."""

    group: str = "Volume"
    does: V | None = None


def _by_rule(action: V) -> Any:
    return lambda entry, store: entry.why_not(action, entry.vm, store)


def _why_not_attach(entry: VolumeEntry, store: Store) -> str | None:
    if entry.vm is not None:
        return f"{entry.volume.name} is attached to {entry.vm.name}: detach it first"
    return entry.why_not(V.ATTACH, None, store)


MOVE = VolumeVerb(
    "move", "m", "move", "Move the volume to another tier, also while its VM is running.", volumes.MOVE,
    _by_rule(V.MOVE), opens=True, does=V.MOVE,
)  # fmt: skip
CANCEL = VolumeVerb(
    "cancel", "C", "cancel", "Cancel the operation on the volume.", operations.CANCEL,
    why_not_cancel, Danger.REVERSIBLE,
)  # fmt: skip
GROW = VolumeVerb(
    "grow", "+", "grow", "Make the volume larger; a running guest sees the new size immediately.", volumes.RESIZE,
    _by_rule(V.RESIZE), opens=True, does=V.RESIZE,
)  # fmt: skip
CLONE = VolumeVerb(
    "clone", "n", "clone", "Copy the volume and verify the copy.", volumes.CLONE, _by_rule(V.CLONE), opens=True,
    does=V.CLONE,
)  # fmt: skip
ATTACH = VolumeVerb(
    "attach", "a", "attach", "Attach the volume to a VM.", volumes.ATTACH, _why_not_attach, opens=True, does=V.ATTACH
)
DETACH = VolumeVerb(
    "detach", "u", "detach", "Detach the volume from its VM; its data is kept.", volumes.DETACH, _by_rule(V.DETACH),
    Danger.LOSES_WORK, does=V.DETACH,
)  # fmt: skip
DELETE = VolumeVerb(
    "delete", "D", "delete", "Delete the volume and its data.", volumes.DELETE, _by_rule(V.DELETE), Danger.DESTROYS,
    does=V.DELETE,
)  # fmt: skip
CREATE = VolumeVerb(
    "create", "c", "create", "Create an empty volume.", volumes.CREATE, danger=Danger.REVERSIBLE, needs_one=False,
    opens=True,
)  # fmt: skip
UPLOAD = VolumeVerb(
    "upload", "i", "upload image", "Upload a disk image to create VMs from.", images.PUT,
    danger=Danger.REVERSIBLE, needs_one=False, group="Storage", opens=True,
)  # fmt: skip
COPY_ID = VolumeVerb("copy-id", "y", "copy id", "Copy the volume's id to the terminal's clipboard.")
VERBS = (MOVE, CANCEL, GROW, CLONE, ATTACH, DETACH, DELETE, CREATE, UPLOAD, COPY_ID)


def _why_not_tier(pool: Pool, _store: Store) -> str | None:
    return why_not_in_a_tier(pool.name, pool.type, managed=pool.managed)


SET_TIER = Action[Pool](
    "tier", "t", "set tier", "Set or remove the tier of the pool.", pools.SET_TIER, _why_not_tier,
    group="Pool", opens=True,
)  # fmt: skip


def why_not_this(action: Action[Any], subject: object) -> str | None:
    """Refuses volume actions on a pool and vice versa, since one screen has the keys of both."""
    if isinstance(subject, Pool) and isinstance(action, VolumeVerb) and action.needs_one and action is not COPY_ID:
        return "not available for pools: tab shows the volumes"
    if isinstance(subject, VolumeEntry) and action is SET_TIER:
        return "not available for volumes: tab shows the pools"
    return None
