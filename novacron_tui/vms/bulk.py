"""Bulks as the console and the command line show them: their items, their progress and their result in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from novacron_core.api import operations
from novacron_core.api.base import ListQuery
from novacron_core.api.operations import BulkCounts, BulkItem, BulkItemState, Operation, OperationState
from novacron_core.api.vms import VM
from novacron_core.rules.bulk_words import WORST_FIRST, needs_attention, reason_of, result_text
from novacron_core.rules.operation_words import words
from novacron_core.rules.vm_actions import VMAction, has_effect_already
from novacron_core.values.operation_kinds import OperationKind
from novacron_tui.connection.session import Session
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import VERBS, Verb

if TYPE_CHECKING:  # the client imports httpx: not before the first paint
    from novacron_core.client import Client

_PAGE_SIZE = 1000
_AND_MORE = re.compile(r", and [\d,]+ more$")


async def load_items(client: Client, bulk_id: str) -> list[BulkItem]:
    """All items of a bulk, the worst first. Raises the server's error."""
    found: dict[int, BulkItem] = {}
    for number in range(1, 1_000_000):
        query = ListQuery(page=number, page_size=_PAGE_SIZE)
        page = await client.call(operations.CHILDREN, query=query, operation_id=bulk_id)
        found |= {item.position: item for item in page.items}
        if len(page.items) < _PAGE_SIZE:
            break
    return worst_first(found.values())  # their order may have changed from page to page


def worst_first(items: Iterable[BulkItem]) -> list[BulkItem]:
    """The items in the order in which they are listed."""
    rank = {state: number for number, state in enumerate(WORST_FIRST)}
    return sorted(items, key=lambda item: (rank.get(item.state, len(rank)), item.position))


def is_bulk(op: Operation) -> bool:
    """Whether it is an operation on many VMs."""
    return op.kind == OperationKind.VM_BULK


def newest(session: Session) -> Operation | None:
    """The newest bulk that the operator may see, whoever has started it; also one that was accepted just now."""
    return max(_bulks(session), key=lambda op: op.created_at, default=None)


def running(session: Session) -> Operation | None:
    """The newest bulk of this operator that has not ended, also one that an earlier console has started."""
    own = (op for op in _bulks(session) if not op.state.ended and op.actor == session.user.username)
    return max(own, key=lambda op: op.created_at, default=None)


def _bulks(session: Session) -> Iterable[Operation]:
    """The known bulks; that of a key press before its first event arrives."""
    return filter(is_bulk, {**session.followed, **session.store.operations}.values())


def goes_on(session: Session) -> str | None:
    """What the server continues of this operator's bulks after the console was left; None if nothing runs, and for a
    demo, which ends with its console."""
    bulk = running(session)
    if bulk is None or bulk.counts is None or session.server.account is not None:
        return None
    return (
        f"The server continues: {bulk.counts.running:,} running, {bulk.counts.queued:,} queued. Nothing is lost.\n"
        f"novacron op cancel {bulk.id} {session.server.flag} stops the rest."
    )


def verb_of(op: Operation) -> Verb | None:
    """The action of a bulk, None for one of a newer server."""
    return next((verb for verb in VERBS if f"vm.{verb.name}" == op.child_kind), None)


def left_out(verb: Verb, vms: Sequence[tuple[VM, str]]) -> list[BulkItem]:
    """The items of VMs that are not requested, for these reasons; one that is as requested has succeeded."""
    action = VMAction(verb.name)
    return [
        BulkItem(
            position=-number,
            vm_id=vm.id,
            name=vm.name,
            state=BulkItemState.SUCCEEDED if has_effect_already(action, vm) else BulkItemState.REFUSED,
            host=vm.host,
            reason=one_line(reason),
        )
        for number, (vm, reason) in enumerate(vms, 1)
    ]


def progress_text(op: Operation, others: Sequence[BulkItem] = ()) -> str:
    """`shutting down 134: 50 done, 11 running, 73 queued, 1 failed`."""
    return "".join(progress_parts(op, others))


def _doing(kind: str) -> str:
    """`shutting down`; what is only asked of a guest is `restart requested for`."""
    doing = words(kind).doing
    return f"{doing} for" if doing.endswith("requested") else doing


def progress_parts(op: Operation, others: Sequence[BulkItem] = ()) -> tuple[str, str]:
    """How far it is, and what went wrong so far: `, 1 failed`."""
    counts = counts_with(op, others)
    far = ((counts.succeeded, "done"), (counts.running, "running"), (counts.queued, "queued"))
    wrong = ((counts.failed, "failed"), (counts.refused, "refused"), (counts.cancelled, "cancelled"))
    main = ", ".join(f"{count:,} {word}" for count, word in far if count) or "0 done"
    rest = "".join(f", {count:,} {word}" for count, word in wrong if count)
    return f"{_doing(op.child_kind)} {counts.total:,}: {main}", rest


def summary(op: Operation, others: Sequence[BulkItem] = ()) -> tuple[str, str]:
    """The result of an ended bulk as a sentence, `12 started, 1 refused: web-07 is paused: resume it instead`, and its
    tone. `others` are the VMs that were not requested."""
    counts = counts_with(op, others)
    detail = one_line(op.problem.sentence) if op.problem else ""
    if op.state is OperationState.CANCELLED or op.state is OperationState.INTERRUPTED:
        return detail, "warn"
    first = next((reason_of(item) for item in others if needs_attention(item)), "")
    reason = _AND_MORE.sub("", detail.partition(": ")[2]) or one_line(first)
    hint = " (b shows all)" if counts.failed + counts.refused > 1 else ""
    tone = "bad" if counts.failed else "warn" if counts.refused else "good"
    return f"{result_text(op.child_kind, counts, reason)}{hint}", tone


def counts_with(op: Operation, others: Sequence[BulkItem]) -> BulkCounts:
    """The counts of a bulk, with those of the VMs that were not requested."""
    counts = op.counts or BulkCounts()
    done = sum(item.state is BulkItemState.SUCCEEDED for item in others)
    refused = len(others) - done
    return msgspec.structs.replace(counts, succeeded=counts.succeeded + done, refused=counts.refused + refused)
