"""All that measures, wired: collector, newest numbers and who reads them. The app builds one and runs it."""

from __future__ import annotations

from novacron_server.inventory.inventory import Inventory
from novacron_server.metrics.board import Board
from novacron_server.metrics.collector import Collector
from novacron_server.metrics.service import Metrics


class Measuring:
    """`board` holds the newest numbers, `metrics` tells them to those who may see them."""

    def __init__(self, inventory: Inventory) -> None:
        self.board = Board()
        self.metrics = Metrics(inventory, self.board)
        self._collector = Collector(inventory, self.board)

    async def run(self) -> None:
        """Measure for ever. Cancel to stop."""
        await self._collector.run()
