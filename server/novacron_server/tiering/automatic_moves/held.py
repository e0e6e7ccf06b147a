"""The moves that are held back: what is decided again and again is one row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from novacron_core.rules.tiering.automatic import MoveVerdict
from novacron_server.tiering.automatic_moves.repository import Decided

STORED_EVERY_S = 3600.0
"""How often a decision that is made again and again is stored anew."""
_ROW_OF = timedelta(days=1)
"""For how long the same decision about a volume is one row, also if others were made in between."""
Make = Callable[[MoveVerdict], Decided]


@dataclass(slots=True)
class _Repeated:
    decided: Decided
    stored_at: datetime


class HeldMoves:
    """By volume, and by why and between which tiers its move is held back."""

    def __init__(self, speed: float = 1.0) -> None:
        self._stored_every = timedelta(seconds=STORED_EVERY_S / speed)
        self._known: dict[str, dict[tuple[str, str, str], _Repeated]] = {}

    def remember(self, host_id: str, verdicts: Iterable[MoveVerdict], now: datetime, make: Make) -> list[Decided]:
        """Count the moves of a host that are held back. Returns the decisions to store now; `make` makes a new one."""
        changed = list[Decided]()
        advised = set[str]()
        for verdict in verdicts:
            advised.add(verdict.advice.disk)
            if verdict.held is not None:
                changed += self._count(verdict, now, make)
        for volume_id in [each for each in self._known if each not in advised]:
            rows = self._known[volume_id].values()
            if any(each.decided.host == host_id for each in rows):
                changed += self._unstored(self._known.pop(volume_id).values())
        return changed

    def not_stored(self, decided: Iterable[Decided]) -> None:
        """They could not be stored: the next time they are."""
        lost = {each.id for each in decided}
        for rows in self._known.values():
            for each in rows.values():
                if each.decided.id in lost:
                    each.stored_at = datetime.min.replace(tzinfo=UTC)

    def _count(self, verdict: MoveVerdict, now: datetime, make: Make) -> list[Decided]:
        advice = verdict.advice
        rows = self._known.setdefault(advice.disk, {})
        key = (str(verdict.held), advice.source, advice.target)
        known = rows.get(key)
        if known is None or not timedelta(0) <= now - known.decided.at < _ROW_OF:
            rows[key] = _Repeated(make(verdict), now)
            return [*([known.decided] if known is not None else []), rows[key].decided]
        known.decided = msgspec.structs.replace(
            known.decided, times=known.decided.times + 1, last_at=now, reason=verdict.reason
        )
        if now - known.stored_at < self._stored_every:
            return []
        known.stored_at = now
        return [known.decided]

    @staticmethod
    def _unstored(rows: Iterable[_Repeated]) -> list[Decided]:
        return [each.decided for each in rows if each.decided.last_at != each.stored_at]
