"""What happened, in an operator's words, and which events are worth a line: the same in the console and the API."""

from __future__ import annotations

from novacron_core.api.operations import OperationState
from novacron_core.api.vms import State
from novacron_core.rules.operation_words import WORDS, words
from novacron_core.values.operation_kinds import OperationKind

EVENT_WORDS = {
    "vm.saved": "saved to disk",
    "vm.updated": "changed",
    "volume.updated": "changed",
    "pool.updated": "changed",
    "host.updated": "changed",
    "tier.updated": "changed",
    "tier.filling": "filling up",
    "tier.relieved": "has room again",
    "system.started": "server started",
    "access.warning": "security warning",
}
"""The words of event types that do not say it themselves."""
ENDS = {f"operation.{state}": state for state in OperationState if state.ended}
"""The types of the events that report the end of an operation."""


def event_words(event_type: str) -> str:
    """`vm.crashed` as `crashed`."""
    return EVENT_WORDS.get(event_type) or event_type.rpartition(".")[2].replace("_", " ").replace("-", " ")


def operation_words(kind: str, state: str) -> str:
    """`vm.stop` as `shutting down`, `shut down` or `shutdown failed`, by the state of the operation."""
    if state == OperationState.SUCCEEDED:
        return words(kind).done
    ended = OperationState(state).ended if state else False
    return f"{words(kind).noun} {state}" if ended else words(kind).doing


def change_words(before: str, after: str) -> str:
    """The states before and after an event: `stopped, was running`, `crashed while running`; `after` alone if there was
    none before."""
    if not before or not after or before == after:
        return after
    return f"{after} while {before}" if after == State.CRASHED else f"{after}, was {before}"


def is_notable(event_type: str, note: str) -> bool:
    """Whether an event is worth a line: not one that only refreshes a value, nor the progress of an operation."""
    if event_type.startswith("operation."):
        return event_type in ENDS
    return bool(note) or not event_type.endswith(".updated")


def all_operation_words() -> dict[tuple[str, str], str]:
    """The words of each kind of operation in each state."""
    kinds = [str(kind) for kind in OperationKind if kind in WORDS]
    return {(kind, str(state)): operation_words(kind, state) for kind in kinds for state in OperationState}
