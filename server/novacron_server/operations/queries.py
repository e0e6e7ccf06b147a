"""Looking at operations: in the database, which has them all, or in memory while the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from novacron_core import errors
from novacron_core.api.operations import Operation
from novacron_core.rules.visibility import Principal, may_see
from novacron_server.database.transactions import Database
from novacron_server.operations import repository

_LOOK_EVERY_S, _PATIENCE_S = 0.005, 1.0
Remembered = Callable[[], Iterable[Operation]]
"""The operations held in memory: those that run and the last few hundred that ended."""


async def get(database: Database, remembered: Remembered, principal: Principal, operation_id: str) -> Operation:
    """Raises NotFound, for another tenant's as for none; DatabaseUnavailable when memory does not know it either."""
    try:
        stored = await database.run(lambda c: repository.get(c, operation_id), read_only=True)
        operation = stored.operation if stored else None
    except errors.DatabaseUnavailable:
        operation = next((held for held in remembered() if held.id == operation_id), None)
        if operation is None:
            raise
    if operation is None or not may_see(principal, operation.tenant):
        raise errors.NotFound("there is no such operation")
    if operation.state.ended:
        await _until_known(remembered, operation)
    return operation


async def _until_known(remembered: Remembered, ended: Operation) -> None:
    """Who is told that it has ended asks for the next change at once, and that is judged by what memory knows."""
    for _ in range(int(_PATIENCE_S / _LOOK_EVERY_S)):
        held = next((operation for operation in remembered() if operation.id == ended.id), None)
        if held.state.ended if held is not None else _long_ago(ended):
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def _long_ago(ended: Operation) -> bool:
    """Whether memory has forgotten it; one that ended just now may not have come there yet."""
    return ended.finished_at is None or datetime.now(UTC) - ended.finished_at > timedelta(seconds=_PATIENCE_S)


async def page(
    database: Database, remembered: Remembered, principal: Principal, q: str, page: int, page_size: int
) -> tuple[list[Operation], int]:
    """Newest first, and how many there are in all. Each word of `q` must be in kind, name, state or actor."""
    words, offset = q.split(), (page - 1) * page_size
    try:
        return await database.run(lambda c: repository.page(c, principal, words, offset, page_size), read_only=True)
    except errors.DatabaseUnavailable:
        held = [o for o in remembered() if may_see(principal, o.tenant) and _matches(o, words)]
        held.sort(key=lambda operation: operation.created_at, reverse=True)
        return held[offset : offset + page_size], len(held)


def _matches(operation: Operation, words: list[str]) -> bool:
    text = f"{operation.kind} {operation.target.name} {operation.state} {operation.actor}".lower()
    return all(word.lower() in text for word in words)
