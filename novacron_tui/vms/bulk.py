"""One verb on many VMs: what became of each, and the one sentence that tells it all."""

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
    """How far it is with one VM. REFUSED: by the rules, here or on the server; nothing was done to it."""

    WAITING = "waiting"
    RUNNING = "under way"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    UNSEEN = "end not seen"


_OPEN = (ItemState.WAITING, ItemState.RUNNING)
_BAD = (ItemState.FAILED, ItemState.UNSEEN, ItemState.REFUSED)


@dataclass
class Item:
    """One VM of a bulk; `reason` is a sentence where it did not go well."""

    vm: VMKey
    name: str
    went: ItemState = ItemState.WAITING
    reason: str = ""
    op_id: str = ""
    seen: bool = False


class Bulk:
    """`follow` it with the operations that are known until it is `over`. `told` is for whoever says its end."""

    def __init__(self, verb: Verb, vms: Sequence[VM]) -> None:
        self.verb = verb
        self.items = [Item(key_of(vm), vm.name) for vm in vms]
        self.told = False
        self._at = {item.vm: item for item in self.items}

    def settle(self, vm: VMKey, went: ItemState, reason: str = "") -> None:
        """One VM has an end without an operation."""
        item = self._at[vm]
        item.went, item.reason = went, one_line(reason)

    def accepted(self, vm: VMKey, op: Operation) -> None:
        """The server has promised it."""
        item = self._at[vm]
        item.went, item.op_id = ItemState.RUNNING, op.id

    def follow(self, operations: Mapping[str, Operation]) -> None:
        """Take over what became of the operations. One that was seen and is no longer known ended out of sight."""
        for item in self.items:
            if item.went is not ItemState.RUNNING:
                continue
            op = operations.get(item.op_id)
            if op is not None:
                item.seen = True
                _end(item, op)
            elif item.seen:
                item.went, item.reason = ItemState.UNSEEN, "it ended while the line was away: look at its state"

    @property
    def over(self) -> bool:
        return not any(item.went in _OPEN for item in self.items)

    @property
    def worst_first(self) -> list[Item]:
        """What needs the operator's eye comes first, else in the order chosen."""
        order = {
            went: rank
            for rank, went in enumerate((ItemState.FAILED, ItemState.UNSEEN, ItemState.REFUSED, *_OPEN, ItemState.DONE))
        }
        return sorted(self.items, key=lambda item: order[item.went])

    def again(self) -> list[VMKey]:
        """The keys of those that may be tried again."""
        return [item.vm for item in self.items if item.went in _BAD]

    def sentence(self) -> tuple[str, str]:
        """`12 started, 1 refused: web-07 is paused: resume it instead`, and its tone."""
        counts = Counter(item.went for item in self.items)
        words = {ItemState.DONE: self.verb.done}
        said = [f"{counts[went]} {words.get(went, went)}" for went in (ItemState.DONE, *_OPEN, *_BAD) if counts[went]]
        bad = [item for item in self.worst_first if item.went in _BAD]
        why = f": {bad[0].reason}" if bad else ""
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        hint = " (b shows each)" if len(bad) > 1 else ""
        return f"{', '.join(said)}{why}{more}{hint}", self._tone(counts)

    def _tone(self, counts: Mapping[ItemState, int]) -> str:
        if not self.over:
            return "busy"
        if counts[ItemState.FAILED] or counts[ItemState.UNSEEN]:
            return "bad"
        return "warn" if counts[ItemState.REFUSED] else "good"


def _end(item: Item, op: Operation) -> None:
    if not op.state.ended:
        return
    if op.state is OperationState.SUCCEEDED:
        item.went = ItemState.DONE
        return
    why = one_line(op.problem.detail or op.problem.title) if op.problem else "no reason was given"
    item.went, item.reason = ItemState.FAILED, f"{one_line(item.name)}: {op.state}: {why}"
