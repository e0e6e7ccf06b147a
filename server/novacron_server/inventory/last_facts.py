"""Stores what was read last of managed objects, so that a server that starts while a host hangs can show them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from novacron_server.database.transactions import Connection, Database
from novacron_server.tasks import repeat, try_to

_log = structlog.get_logger()
K = TypeVar("K", bound=Hashable)
F = TypeVar("F", bound=msgspec.Struct)
EVERY_S = 60.0
BATCH = 500
_LAST_CHANCE_S = 2.0


class LastFacts(ABC, Generic[K, F]):
    """`run` is a background task; `load`, which subclasses have, is called once, before it."""

    what: str
    """The objects, for the log."""
    facts: type[F]

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stored: dict[K, F] = {}

    @abstractmethod
    def current(self) -> Mapping[K, F]:
        """What is known now of every object that has a row."""

    @abstractmethod
    async def write(self, connection: Connection, raw_by_key: Mapping[K, dict[str, Any]]) -> None:
        """Store these facts."""

    def differs(self, stored: F, now: F) -> bool:
        """Whether a change is worth a write."""
        return stored != now

    async def run(self) -> None:
        """Store what changed every minute until cancelled, and once more at the end."""
        try:
            await repeat(EVERY_S, f"storing the last facts of {self.what}", self.store)
        finally:
            with suppress(TimeoutError):  # the server is stopping: a database that is down must not hold it
                async with asyncio.timeout(_LAST_CHANCE_S):
                    await try_to(f"storing the last facts of {self.what}", self.store)

    async def store(self) -> None:
        """Store the facts that differ from the stored ones. Raises DatabaseUnavailable."""
        current = self.current()
        keys = [key for key, now in current.items() if (old := self._stored.get(key)) is None or self.differs(old, now)]
        for begin in range(0, len(keys) or 1, BATCH):  # the first time these are all: too many for one budget
            batch = {key: current[key] for key in keys[begin : begin + BATCH]}
            raw: dict[K, dict[str, Any]] = {key: msgspec.to_builtins(facts) for key, facts in batch.items()}
            await self._database.run(lambda connection, raw=raw: self.write(connection, raw))  # type: ignore[misc]
            self._stored.update(batch)
        for key in self._stored.keys() - current.keys():
            if self._is_gone(key):
                del self._stored[key]

    @abstractmethod
    def _is_gone(self, key: K) -> bool:
        """Whether the object has no row any more."""

    def _read(self, stored: Iterable[tuple[K, dict[str, Any]]]) -> Mapping[K, F]:
        """What was stored; without what another version wrote and this one cannot read."""
        for key, raw in stored:
            try:
                self._stored[key] = msgspec.convert(raw, self.facts)
            except msgspec.ValidationError as e:
                _log.warning("unreadable last facts", what=self.what, key=str(key), reason=str(e))
        return self._stored
