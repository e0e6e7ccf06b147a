"""Files that a running operation creates or removes: they are not listed as volumes."""

from __future__ import annotations

from collections.abc import Iterable

Location = tuple[str, str, str]
"""(host id, pool, name)"""


def temporary_name(name: str, operation_id: str) -> str:
    """The name of a copy until it is complete."""
    return f"{name}.{operation_id[:8]}.part"


class OperationFiles:
    """The files of each operation that has not ended."""

    def __init__(self) -> None:
        self._locations: dict[str, frozenset[Location]] = {}

    def set(self, operation_id: str, host_id: str, files: Iterable[tuple[str, str]]) -> None:
        """Set an operation's (pool, name) pairs. Call it before the first of these files exists."""
        self._locations[operation_id] = frozenset((host_id, pool, name) for pool, name in files)

    def remove(self, operation_id: str) -> None:
        self._locations.pop(operation_id, None)

    def on(self, host_id: str) -> frozenset[tuple[str, str]]:
        """The (pool, name) pairs of all operations on a host."""
        found = (location for locations in self._locations.values() for location in locations)
        return frozenset((pool, name) for host, pool, name in found if host == host_id)

    def __contains__(self, location: Location) -> bool:
        return any(location in locations for locations in self._locations.values())
