"""Wires the metrics components: collector, latest samples, history and queries. The app creates and runs one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics.collector import Collector
from novacron_server.metrics.history_query import HistoryQueries
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.service import UsageService


class MetricsPipeline:
    """`latest` holds the latest samples, `usage` reports them; `history` stores them, `queries` reads the history."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        latest: LatestSamples,
        *,
        samples_kept: timedelta,
        minutes_kept: timedelta,
    ) -> None:
        self.latest = latest
        self.usage = UsageService(inventory, self.latest)
        self.history = HistoryWriter(
            database,
            inventory,
            self.latest,
            samples_kept=samples_kept,
            minutes_kept=minutes_kept,
        )
        self.queries = HistoryQueries(database, inventory, self.latest, self.history)
        self._collector = Collector(inventory, self.latest)

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """The background tasks, as (name, coroutine function) pairs."""
        return [*self._collector.tasks(), *self.history.tasks()]
