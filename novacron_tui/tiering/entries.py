"""A recommended move with the volume that it is about."""

from __future__ import annotations

from dataclasses import dataclass

from novacron_core.api.tiering import Recommendation
from novacron_core.rules.volume_actions import VolumeAction
from novacron_tui.connection.store import Store
from novacron_tui.volumes.entries import VolumeEntry, entry_of


@dataclass(frozen=True, slots=True)
class AdviceEntry:
    """One row of the list. `number` is its place in the order of the server, from 1. `entry` is None for a volume that is
    not known here (any more)."""

    number: int
    advice: Recommendation
    entry: VolumeEntry | None

    @property
    def id(self) -> str:
        return self.advice.volume


def entries(rows: list[Recommendation], store: Store) -> list[AdviceEntry]:
    """A row for each recommendation, in the order in which to follow them."""
    found = ((row, store.volumes.get(row.volume)) for row in rows)
    return [
        AdviceEntry(number, row, entry_of(store, volume) if volume is not None else None)
        for number, (row, volume) in enumerate(found, 1)
    ]


def why_not_move(row: AdviceEntry, store: Store) -> str | None:
    """The sentence that refuses to follow the advice now, or None."""
    if row.entry is None:
        return f"{row.advice.name} is not known any more: r reads the advice again"
    if row.advice.refused:
        return row.advice.refused
    return row.entry.why_not(VolumeAction.MOVE, row.entry.vm, store)


def why_not_place(row: AdviceEntry, _store: Store) -> str | None:
    """The sentence that refuses to pin the volume or to dismiss its advice, or None."""
    return None if row.entry is not None else f"{row.advice.name} is not known any more: r reads the advice again"
