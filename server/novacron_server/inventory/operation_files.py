"""Files that a running operation creates or removes. They are not shown as unmanaged volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Place = tuple[str, str, str]
"""(host id, pool, name)"""


def files_of(host_id: str, steps: Mapping[str, Any]) -> frozenset[Place]:
    """The files of the copy and the moved volume in an operation's journaled steps."""
    copy, move = steps.get("copy") or {}, steps.get("move") or {}
    pool = copy.get("pool") or move.get("to_pool")
    found = {(pool, copy.get("name")), (pool, copy.get("temporary"))}
    found |= {(pool, move.get("name")), (move.get("from_pool"), move.get("name"))}
    return frozenset((host_id, pool, name) for pool, name in found if pool and name)


def temporary_name(name: str, operation_id: str) -> str:
    """The name of a copy until it is complete."""
    return f"{name}.{operation_id[:8]}.part"


class OperationFiles:
    """The files of each operation, until the operation has ended."""

    def __init__(self) -> None:
        self._places: dict[str, frozenset[Place]] = {}

    def note(self, operation_id: str, host_id: str, steps: Mapping[str, Any]) -> None:
        """Register an operation's files. Call it before the first of them is created."""
        self._places[operation_id] = files_of(host_id, steps)

    def forget(self, operation_id: str) -> None:
        self._places.pop(operation_id, None)

    def __contains__(self, place: Place) -> bool:
        return any(place in places for places in self._places.values())
