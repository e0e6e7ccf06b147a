"""The items of a running bulk, in memory: their states, and which of them must still be stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from novacron_core.api.operations import BulkCounts, BulkItem, BulkItemState
from novacron_core.rules.bulk_words import WORST_FIRST, needs_attention, reason_of
from novacron_server.vms.bulk.repository import StoredItem


class Items:
    """The items of one bulk, by position."""

    def __init__(self, stored: Iterable[StoredItem]) -> None:
        self._items = {entry.item.position: entry.item for entry in stored}
        self._generations = {entry.item.position: entry.generation for entry in stored}
        self._unsaved: set[int] = set()
        self.changed = True
        """Whether the counts have changed since they were published."""

    def __getitem__(self, position: int) -> BulkItem:
        return self._items[position]

    def generation(self, position: int) -> int | None:
        """The VM's generation when the bulk was accepted."""
        return self._generations[position]

    def by_host(self) -> dict[str, list[int]]:
        """The positions of the items that have not ended, for each host. Those that had begun come first."""
        found: dict[str, list[int]] = {}
        for state in (BulkItemState.RUNNING, BulkItemState.QUEUED):
            for item in self._items.values():
                if item.state is state:
                    found.setdefault(item.host or "", []).append(item.position)
        return found

    def run(self, position: int, operation_id: str) -> None:
        """This operation runs for an item; it is stored already."""
        self._items[position] = msgspec.structs.replace(
            self._items[position], state=BulkItemState.RUNNING, operation_id=operation_id, started_at=datetime.now(UTC)
        )
        self.changed = True

    def end(self, position: int, state: BulkItemState, reason: str = "") -> None:
        """An item has ended, and must be stored. An end that is known already stays."""
        if self._items[position].state.ended:
            return
        self._items[position] = msgspec.structs.replace(
            self._items[position], state=state, reason=reason, finished_at=datetime.now(UTC)
        )
        self._unsaved.add(position)
        self.changed = True

    def cancelled(self, positions: Collection[int], why: str) -> None:
        """These items were cancelled, which is stored already."""
        for position in positions:
            if not self._items[position].state.ended:
                self.end(position, BulkItemState.CANCELLED, why)
                self._unsaved.discard(position)

    def take_unsaved(self) -> list[BulkItem]:
        """Remove and return the ends to store."""
        taken, self._unsaved = self._unsaved, set()
        return [self._items[position] for position in taken]

    def put_back(self, items: Iterable[BulkItem]) -> None:
        """These ends could not be stored."""
        self._unsaved |= {item.position for item in items}

    def counts(self) -> BulkCounts:
        states = Counter(str(item.state) for item in self._items.values())
        return BulkCounts(**{field: states[field] for field in BulkCounts.__struct_fields__})

    def worst(self) -> BulkItem | None:
        """The first item that has failed, else the first that was refused; None if there is none."""
        bad = [item for item in self if needs_attention(item)]
        return min(bad, key=lambda item: (WORST_FIRST.index(item.state), item.position), default=None)

    def reason(self) -> str:
        """Why the worst item did not succeed; empty if none failed or was refused."""
        return reason_of(worst) if (worst := self.worst()) else ""

    def why_cancelled(self) -> str:
        """Why items were cancelled; empty if none was."""
        return next((item.reason for item in self if item.state is BulkItemState.CANCELLED), "")

    def __iter__(self) -> Iterator[BulkItem]:
        return iter(self._items.values())
