"""The actions on an operation."""

from __future__ import annotations

from typing import Any

from novacron_core.api import operations
from novacron_tui.actions import Action, Danger
from novacron_tui.cancelling import cancel_many
from novacron_tui.operations.entries import ActivityEntry, why_not_cancel


async def _cancel(screen: Any, entry: ActivityEntry) -> None:
    chosen = screen.chosen_entries()
    if len(chosen) < 2:
        await screen.cancel_operation(entry.op, entry.target)
        return
    ready = [each for each in chosen if why_not_cancel(each, screen.session.store) is None]
    named = [(each.op, each.target, each.what) for each in ready if each.op]
    accepted = await cancel_many(screen, named, len(chosen) - len(ready))
    screen.table.unmark({each.id for each in ready if each.op and each.op.id in accepted})


CANCEL = Action[ActivityEntry](
    "cancel", "C", "cancel", "Cancel the operations.", operations.CANCEL, why_not_cancel, Danger.REVERSIBLE,
    group="Activity", run=_cancel, command="op cancel {names}",
)  # fmt: skip


def _copy_ids(screen: Any, _entry: ActivityEntry) -> None:
    screen.copy_ids([each.own_id for entry in screen.chosen_entries() for each in entry.folded or (entry,)])


COPY_IDS = Action[ActivityEntry](
    "copy-id", "y", "copy id", "Copy the ids of the operations and events to the terminal's clipboard.",
    group="Activity", run=_copy_ids,
)  # fmt: skip
