"""All that measures, wired: collector, newest numbers, history and who reads them. The app builds one and runs it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics.board import Board
from novacron_server.metrics.collector import Collector
from novacron_server.metrics.history import History
from novacron_server.metrics.past import Past
from novacron_server.metrics.service import Metrics
from novacron_server.settings import Settings


class Measuring:
    """`board` holds the newest numbers and `metrics` tells them; `history` writes them down and `past` reads them."""

    def __init__(self, database: Database, inventory: Inventory, settings: Settings) -> None:
        self.board = Board()
        inventory.sample_of = lambda vm: self.board.sample(vm.host, vm.id)
        self.metrics = Metrics(inventory, self.board)
        self.history = History(
            database,
            inventory,
            self.board,
            samples_kept=timedelta(hours=settings.samples_kept_hours),
            minutes_kept=timedelta(days=settings.minutes_kept_days),
        )
        self.past = Past(database, inventory, self.board, self.history)
        self._collector = Collector(inventory, self.board)

    async def run(self) -> None:
        """Measure for ever. Cancel to stop."""
        await asyncio.gather(self._collector.run(), self.history.run())
