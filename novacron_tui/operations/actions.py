"""The actions on an operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from novacron_core.api import operations
from novacron_core.api.operations import Operation
from novacron_core.errors import NovaCronError
from novacron_core.values.counts import counted
from novacron_tui.actions import Action, ActionContext, Danger
from novacron_tui.operations.entries import ActivityEntry, why_not_cancel
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.perform import MANY
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.text_bar import Piece

_NAMED = 5
"""At most this many operations are named in a question."""


async def _cancel(screen: Any, entry: ActivityEntry) -> None:
    chosen = screen.chosen_entries()
    if len(chosen) < 2:
        await screen.cancel_operation(entry.op, entry.target)
        return
    ready = [each for each in chosen if why_not_cancel(each, screen.session.store) is None]
    if len(ready) <= MANY or await screen.ask(_question(ready)) is not None:
        accepted = await _cancel_many(screen, [each.op for each in ready if each.op], len(chosen) - len(ready))
        screen.table.unmark({each.id for each in ready if each.op and each.op.id in accepted})


def _question(entries: Sequence[ActivityEntry]) -> Question:
    lines = [[Piece(entry.target, "strong"), Piece(f": {entry.what}")] for entry in entries[:_NAMED]]
    lines.append([Piece(f"and {len(entries) - _NAMED:,} more", "quiet")])
    number = str(len(entries))
    return Question(
        f"Cancel {counted(len(entries), 'operation')}?", lines, "Cancel them", typed=number, typed_always=True
    )


async def _cancel_many(context: ActionContext, ops: Sequence[Operation], left_out: int) -> set[str]:
    """Ask the server to cancel each of them, and say in one sentence what became of it. Returns the ids of the operations
    whose cancellation it has accepted."""
    accepted: set[str] = set()
    refused: list[str] = []
    for op in ops:
        try:
            await context.session.client.call(operations.CANCEL, operation_id=op.id)
        except NovaCronError as e:
            refused.append(f"{one_line(op.target.name)}: {one_line(e.detail)}")
        else:
            accepted.add(op.id)
    others = f"; {left_out:,} marked cannot be cancelled" if left_out else ""
    others += f"; {len(refused):,} refused: {refused[0]}" if refused else ""
    said = f"Cancelling {counted(len(accepted), 'operation')}{others}"
    context.say(said, "bad" if refused else "busy")
    return accepted


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
