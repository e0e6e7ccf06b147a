"""Cancelling several operations at once: one question above `MANY`, one sentence about what became of all of them."""

from __future__ import annotations

from collections.abc import Sequence

from novacron_core.api import operations
from novacron_core.api.operations import Operation
from novacron_core.errors import NovaCronError
from novacron_core.values.counts import counted
from novacron_tui.actions import MANY, ActionContext
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.confirm import Question
from novacron_tui.widgets.text_bar import Piece

_NAMED = 5
"""At most this many operations are named in a question."""


Cancellable = tuple[Operation, str, str]
"""An operation, the name of what it works on, and what it does there, as a question tells it."""


async def cancel_many(context: ActionContext, ready: Sequence[Cancellable], left_out: int) -> set[str]:
    """Ask the server to cancel each operation of `ready`; above `MANY` the operator must say yes first. `left_out` is the
    number of marked rows without an operation that can be cancelled. Returns the ids of the operations whose cancellation
    the server has accepted; none if the operator says no."""
    if len(ready) > MANY and await context.ask(_question(ready)) is None:
        return set()
    accepted: set[str] = set()
    refused: list[str] = []
    for op, _, _ in ready:
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


def _question(ready: Sequence[Cancellable]) -> Question:
    lines = [[Piece(one_line(name), "strong"), Piece(f": {what}")] for _, name, what in ready[:_NAMED]]
    lines.append([Piece(f"and {len(ready) - _NAMED:,} more", "quiet")])
    number = str(len(ready))
    return Question(
        f"Cancel {counted(len(ready), 'operation')}?", lines, "Cancel them", typed=number, typed_always=True
    )
