"""The progress and the result of a bulk in one sentence, the same in the console, the command line and the API."""

from __future__ import annotations

from novacron_core.api.operations import BulkCounts, BulkItem, BulkItemState
from novacron_core.rules.operation_words import words

NOT_FOUND = "no such VM"
"""Why an item is refused whose VM does not exist, or may not be seen by who asks."""
NO_VOLUME = "no such volume"
VOLUME = "volume"
"""The type of an item that is a volume."""
_ATTENTION = (BulkItemState.FAILED, BulkItemState.REFUSED)
WORST_FIRST = (
    *_ATTENTION,
    BulkItemState.RUNNING,
    BulkItemState.QUEUED,
    BulkItemState.CANCELLED,
    BulkItemState.SUCCEEDED,
)
"""The order in which the items of a bulk are listed."""


def counts_text(kind: str, counts: BulkCounts) -> str:
    """`50 started, 11 running, 73 queued`. `kind` is that of the operations on the VMs."""
    numbers = (
        (counts.succeeded, words(kind).done),
        (counts.running, "running"),
        (counts.queued, "queued"),
        (counts.failed, "failed"),
        (counts.refused, "refused"),
        (counts.cancelled, "cancelled"),
    )
    return ", ".join(f"{count:,} {word}" for count, word in numbers if count) or "nothing done"


def result_text(kind: str, counts: BulkCounts, reason: str) -> str:
    """`12 started, 2 refused: web-07 is paused: resume it instead, and 1 more`. `reason` is that of the worst item."""
    others = counts.failed + counts.refused - 1
    more = f", and {others:,} more" if others > 0 else ""
    return f"{counts_text(kind, counts)}{f': {reason}' if reason else ''}{more}"


def reason_of(item: BulkItem) -> str:
    """Why an item did not succeed, beginning with the name of its VM."""
    return item.reason if item.reason.startswith(f"{item.name} ") else f"{item.name}: {item.reason}"


def left_out_text(nouns: str, left_out: int, chosen: int, reason: str, *, is_done: bool) -> str:
    """`3 of the 12 marked VMs are already stopped and are left out`, with `is_done` and the state as the reason; else
    `3 of the 12 marked VMs are left out: web-07 is paused: resume it instead, and 2 more`."""
    verb = "is" if left_out == 1 else "are"
    begin = f"{left_out:,} of the {chosen:,} marked {nouns} {verb}"
    if is_done:
        return f"{begin} already {reason} and {verb} left out"
    more = f", and {left_out - 1:,} more" if left_out > 1 else ""
    return f"{begin} left out: {reason}{more}"


def needs_attention(item: BulkItem) -> bool:
    """Whether an item has failed or was refused."""
    return item.state in _ATTENTION
