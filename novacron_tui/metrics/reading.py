"""Reading the history that the charts show."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from novacron_core.api import history
from novacron_tui.metrics.charts import METRICS, Span

if TYPE_CHECKING:  # the client imports httpx: not before the first paint
    from novacron_core.client import Client

MAX_POINTS = 240


async def read_history(client: Client, subject: str, span: Span, to: datetime, width: int) -> history.History:
    """The metrics of `fleet`, `host:ID` or `vm:ID` over the span until `to`, for charts over `width` cells. Raises the
    server's error."""
    points = max(30, min(MAX_POINTS, width))
    query = history.HistoryQuery(
        subject=subject, metric=METRICS, from_=to - timedelta(seconds=span.seconds), to=to, points=points
    )
    return await client.call(history.HISTORY, query=query)
