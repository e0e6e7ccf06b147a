"""The actions on an operation."""

from __future__ import annotations

from novacron_core.api import operations
from novacron_tui.actions import Action, ActionContext, Danger
from novacron_tui.operations.entries import ActivityEntry, why_not_cancel


async def _cancel(context: ActionContext, entry: ActivityEntry) -> None:
    await context.cancel_operation(entry.op, entry.target)


CANCEL = Action[ActivityEntry](
    "cancel", "C", "cancel", "Cancel the operation.", operations.CANCEL, why_not_cancel, Danger.REVERSIBLE,
    group="Activity", run=_cancel, command="op cancel {names}",
)  # fmt: skip
