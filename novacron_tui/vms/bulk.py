"""One action on many VMs: the result for each VM, and a summary in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from novacron_core.api.operations import Operation, OperationState
from novacron_core.api.vms import VM
from novacron_tui.connection.store import VMKey, key_of
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.vms.actions import Verb


class ItemState(StrEnum):
    """The progress for one VM. REFUSED: by the rules, here or on the server; the VM was not changed."""

    WAITING = "queued"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNSEEN = "outcome unknown"


_OPEN = (ItemState.WAITING, ItemState.RUNNING)
_UNSUCCESSFUL = (ItemState.FAILED, ItemState.UNSEEN, ItemState.REFUSED)


@dataclass
class Item:
    """One VM of a bulk action; `reason` is a sentence when it was not successful."""

    vm: VMKey
    name: str
    state: ItemState = ItemState.WAITING
    reason: str = ""
    op_id: str = ""
    seen: bool = False


class Bulk:
    """Call `follow` with the known operations until it has `ended`. `reported` is for the caller that shows the end."""

    def __init__(self, verb: Verb, vms: Sequence[VM]) -> None:
        self.verb = verb
        self.items = [Item(key_of(vm), vm.name) for vm in vms]
        self.reported = False
        self._by_key = {item.vm: item for item in self.items}

    def finish(self, vm: VMKey, state: ItemState, reason: str = "") -> None:
        """Set the result of a VM for which no operation was started."""
        item = self._by_key[vm]
        item.state, item.reason = state, one_line(reason)

    def accepted(self, vm: VMKey, op: Operation) -> None:
        """The server has accepted the request for this VM."""
        item = self._by_key[vm]
        item.state, item.op_id = ItemState.RUNNING, op.id

    def follow(self, operations: Mapping[str, Operation]) -> None:
        """Update the items from their operations. An operation that was known and has disappeared ended unnoticed."""
        for item in self.items:
            if item.state is not ItemState.RUNNING:
                continue
            op = operations.get(item.op_id)
            if op is not None:
                item.seen = True
                _apply_end(item, op)
            elif item.seen:
                item.state, item.reason = ItemState.UNSEEN, "finished while you were disconnected; check its state"

    @property
    def ended(self) -> bool:
        return not any(item.state in _OPEN for item in self.items)

    @property
    def worst_first(self) -> list[Item]:
        """The items that need attention first, else in the order chosen."""
        order = {
            state: rank
            for rank, state in enumerate(
                (ItemState.FAILED, ItemState.UNSEEN, ItemState.REFUSED, *_OPEN, ItemState.DONE)
            )
        }
        return sorted(self.items, key=lambda item: order[item.state])

    def retryable(self) -> list[VMKey]:
        """The keys of the VMs that may be retried."""
        return [item.vm for item in self.items if item.state in _UNSUCCESSFUL]

    def summary(self) -> tuple[str, str]:
        """`12 started, 1 refused: web-07 is paused: resume it instead`, and its tone."""
        counts = Counter(item.state for item in self.items)
        words = {ItemState.DONE: self.verb.words.done}
        parts = [
            f"{counts[state]} {words.get(state, state)}"
            for state in (ItemState.DONE, *_OPEN, *_UNSUCCESSFUL)
            if counts[state]
        ]
        bad = [item for item in self.worst_first if item.state in _UNSUCCESSFUL]
        why = f": {bad[0].reason}" if bad else ""
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        hint = " (b shows all)" if len(bad) > 1 else ""
        return f"{', '.join(parts)}{why}{more}{hint}", self._tone(counts)

    def _tone(self, counts: Mapping[ItemState, int]) -> str:
        if not self.ended:
            return "busy"
        if counts[ItemState.FAILED] or counts[ItemState.UNSEEN]:
            return "bad"
        return "warn" if counts[ItemState.REFUSED] else "good"


def _apply_end(item: Item, op: Operation) -> None:
    if not op.state.ended:
        return
    if op.state is OperationState.SUCCEEDED:
        item.state = ItemState.DONE
        return
    why = one_line(op.problem.detail or op.problem.title) if op.problem else "no reason given"
    item.state, item.reason = ItemState.FAILED, f"{one_line(item.name)}: {op.state}: {why}"
