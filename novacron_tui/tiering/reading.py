"""Storage advice and decisions, read from the server: they are not part of the event stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from novacron_core.api import tiering
from novacron_core.api.tiering import Recommendation, StorageAdvice, TierForecast
from novacron_core.errors import NotFound, NovaCronError
from novacron_tui.connection.session import Session
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.tiering.automatic import AutomaticData

_OLD_SERVER = "this server gives no storage advice: update it"


@dataclass
class AdviceData:
    """`version` rises with every change; `error` is why the last read failed."""

    rows: list[Recommendation] = field(default_factory=list)
    tiers: list[TierForecast] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cost_month: float | None = None
    saves_month: float | None = None
    error: str = ""
    version: int = 0
    loaded: bool = False

    @property
    def ready(self) -> int:
        """How many moves the server would accept."""
        return sum(not row.refused for row in self.rows)

    def latency_ms(self, host: str, tier: str) -> float | None:
        """The median latency of a tier, or else the declared one."""
        found = next((each for each in self.tiers if (each.host, each.tier) == (host, tier)), None)
        return None if found is None else found.expected_ms if found.p50_ms is None else found.p50_ms

    async def read(self, session: Session) -> None:
        """Read the advice anew; what cannot be read leaves the last known one."""
        if not session.may(tiering.ADVICE):
            return
        try:
            advice = await session.client.call(tiering.ADVICE)
        except NotFound:
            self._take(error=_OLD_SERVER)
        except NovaCronError as e:
            self._take(error=one_line(e.detail))
        else:
            self._take_advice(advice)

    def _take_advice(self, advice: StorageAdvice) -> None:
        self._take(
            rows=advice.recommendations,
            tiers=advice.tiers,
            notes=advice.notes,
            cost_month=advice.cost_month,
            saves_month=advice.saves_month,
            error="",
            loaded=True,
        )

    def _take(self, **values: object) -> None:
        if any(getattr(self, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(self, name, value)
            self.version += 1


@dataclass
class StorageData:
    """What the storage screen reads."""

    advice: AdviceData = field(default_factory=AdviceData)
    automatic: AutomaticData = field(default_factory=AutomaticData)

    async def read(self, session: Session) -> None:
        """Read everything anew, at the same time; what cannot be read stays as it was."""
        await asyncio.gather(self.advice.read(session), self.automatic.read(session))
