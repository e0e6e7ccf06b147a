"""The actions on advice as data."""

from __future__ import annotations

from typing import Any

from novacron_core.api import tiering, volumes
from novacron_core.rules.volume_actions import why_not_change
from novacron_tui.actions import Action, Danger
from novacron_tui.tiering import perform
from novacron_tui.tiering.entries import AdviceEntry, why_not_move, why_not_place
from novacron_tui.volumes.actions import VolumeVerb
from novacron_tui.volumes.entries import VolumeEntry

_GROUP = "Advice"


async def _follow(screen: Any, _row: AdviceEntry) -> None:
    await perform.follow(screen, screen.subjects(FOLLOW))


async def _pin(screen: Any, _entry: VolumeEntry) -> None:
    await perform.pin(screen, screen.subjects(PIN))


async def _join(screen: Any, _entry: VolumeEntry) -> None:
    await perform.join(screen, screen.subjects(TOGETHER))


async def _pin_advised(screen: Any, _row: AdviceEntry) -> None:
    await perform.pin(screen, [row.entry for row in screen.subjects(PIN_ADVISED) if row.entry is not None])


def _why_not_pin(entry: VolumeEntry, _store: object) -> str | None:
    return why_not_change(entry.volume)


# fmt: off
FOLLOW = Action[AdviceEntry](
    "follow", "m", "move", "Move the volume as advised; first the tiers are shown before and after.", volumes.MOVE,
    why_not_move, Danger.LOSES_WORK, group=_GROUP, run=_follow, command="storage follow {names}",
)
DISMISS = Action[AdviceEntry](
    "dismiss", "N", "dismiss", "Give no advice about the volume for a time, with a reason.", tiering.PLACE, why_not_place,
    Danger.REVERSIBLE, group=_GROUP, opens=True, run=perform.dismiss, command="storage dismiss {names} --for 30d",
)
PIN = VolumeVerb(
    "pin", "P", "pin", "Keep the volume in its tier whatever the advice, or release it.", tiering.PLACE, _why_not_pin,
    Danger.REVERSIBLE, run=_pin, command="storage pin {names}",
)
TOGETHER = VolumeVerb(
    "together", "", "together", "Weigh the volume with the other disks of its VM that do, or alone again.", tiering.PLACE,
    _why_not_pin, Danger.REVERSIBLE, run=_join, command="storage together {names}",
)
PIN_ADVISED = Action[AdviceEntry](
    "pin", "P", "pin", "Keep the volume in its tier whatever the advice.", tiering.PLACE, why_not_place, Danger.REVERSIBLE,
    group=_GROUP, run=_pin_advised, command="storage pin {names}",
)
# fmt: on
OF_MANY = (FOLLOW, PIN_ADVISED)
"""The actions that apply to all marked moves."""
VERBS = (FOLLOW, DISMISS, PIN_ADVISED)
