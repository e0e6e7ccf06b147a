"""All that measures, wired: collector, newest numbers, history and who reads them. The app builds one and runs it."""

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
    """`board` holds the newest numbers and `metrics` tells them; `history` writes them down and `past` reads them."""

    def __init__(
        self, database: Database, inventory: Inventory, *, samples_kept: timedelta, minutes_kept: timedelta
    ) -> None:
        self.board = LatestSamples()
        inventory.sample_of = lambda vm: self.board.sample(vm.host, vm.id)
        self.metrics = UsageService(inventory, self.board)
        self.history = HistoryWriter(
            database,
            inventory,
            self.board,
            samples_kept=samples_kept,
            minutes_kept=minutes_kept,
        )
        self.past = HistoryQueries(database, inventory, self.board, self.history)
        self._collector = Collector(inventory, self.board)

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What must run as long as the server does, by name."""
        return [*self._collector.tasks(), *self.history.tasks()]
