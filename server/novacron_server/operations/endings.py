"""Waits for the end of operations that this server runs or recovers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from novacron_core.api.operations import Operation
from novacron_server.database.transactions import Database
from novacron_server.operations import repository
from novacron_server.operations.retries import retry_while_database_down

_LOOK_EVERY_S = 5.0
"""An end may be written without being announced, by another server: then it is seen that late."""


class Endings:
    """`announce` wakes those who wait for an operation's end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, asyncio.Event] = {}

    def announce(self, operation_id: str) -> None:
        """The end of an operation was committed."""
        if event := self._waiting.pop(operation_id, None):
            event.set()

    async def wait(self, operation_id: str, looking: Callable[[], Awaitable[None]]) -> Operation | None:
        """The operation once it has ended, None if there is none. `looking` is called each time that it has not; what it
        raises ends the wait."""

        async def read() -> Operation | None:
            stored = await self._database.run(lambda c: repository.get(c, operation_id), read_only=True)
            return stored.operation if stored else None

        while True:
            event = self._waiting.setdefault(operation_id, asyncio.Event())
            found = await retry_while_database_down("reading an operation", read)
            if found is None or found.state.ended:
                self._waiting.pop(operation_id, None)
                return found
            await looking()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await event.wait()
