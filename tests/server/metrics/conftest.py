"""A history on a real database, with samples from the test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.state import InventoryState
from novacron_server.metrics import copy_rows
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.write_queue import Chunk
from novacron_server.outbox.group_commit import GroupCommit


@pytest.fixture
def history(database: Database) -> HistoryWriter:
    inventory = Inventory(InventoryState(), Publisher(GroupCommit(database, lambda: None)), [])
    return HistoryWriter(
        database, inventory, LatestSamples(), samples_kept=timedelta(hours=24), minutes_kept=timedelta(days=14)
    )


@pytest.fixture
def add(history: HistoryWriter) -> Callable[..., None]:
    """Queues a sample for a subject: its time, CPU percentage and memory in bytes."""

    def put(subject: bytes, time: datetime, percent: float | None, memory: float | None = None) -> None:
        numbers = (None, percent, memory, *[None] * 7)
        history.waiting.add(Chunk(time, 1, copy_rows.row(copy_rows.microseconds(time), subject, numbers)))

    return put
