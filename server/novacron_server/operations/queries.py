"""Reads operations from the database, which has them all, or from memory while the database is down."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress

from novacron_core import errors
from novacron_core.api.nouns import OPERATIONS
from novacron_core.api.operations import Operation
from novacron_core.api.problem import FieldError
from novacron_core.rules.filters.language import MAX_WORDS
from novacron_core.rules.visibility import Principal
from novacron_server.database.transactions import Connection, Database
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.subjects import seen_ids, sees
from novacron_server.operations import repository
from novacron_server.operations.repository import StoredOperation
from novacron_server.outbox.repository import last_seq

_BARRIER_TIMEOUT_S = 1.0
CHEAP_ROWS = 5000
"""How many rows a list may pass over without a turn: those read from an index cost little."""


async def get(database: Database, memory: InventoryState, principal: Principal, operation_id: str) -> Operation:
    """Raises NotFound, for another tenant's operation as for a missing one; DatabaseUnavailable if it is not in memory
    either."""

    async def read(connection: Connection) -> tuple[StoredOperation | None, int]:
        return await repository.get(connection, operation_id), await last_seq(connection)

    seq = 0
    try:
        stored, seq = await database.run(read, read_only=True)
        operation = stored.operation if stored else None
    except errors.DatabaseUnavailable:
        operation = memory.operation(operation_id)
        if operation is None:
            raise
    if operation is None or not _sees(principal, memory, operation):
        raise errors.NotFound("operation not found")
    known = memory.operation(operation_id)
    if operation.state.ended and not (known and known.state.ended):
        # A client that sees the end may send its next change at once, which is checked against memory.
        with suppress(TimeoutError):
            async with asyncio.timeout(_BARRIER_TIMEOUT_S):
                await memory.barrier(seq)
    return operation


async def page(
    database: Database, memory: InventoryState, principal: Principal, q: str, page: int, page_size: int
) -> tuple[list[Operation], int]:
    """Return (one page, the total number), newest first. Each word of `q` must be in kind, name, state or actor.
    Without a word, a bulk stands for its operations. Raises ValidationFailed for too many, RateLimited while other
    searches take long."""
    words, offset = words_of(q), (page - 1) * page_size
    try:
        targets = seen_ids(principal, memory)
        async with database.search(principal) if words or offset > CHEAP_ROWS else nullcontext():
            return await database.run(
                lambda c: repository.page(c, principal, words, offset, page_size, targets), read_only=True
            )
    except errors.DatabaseUnavailable:
        held = [o for o in memory.operations() if _sees(principal, memory, o) and _matches(o, words)]
        held.sort(key=lambda operation: operation.created_at, reverse=True)
        return held[offset : offset + page_size], len(held)


def words_of(q: str) -> list[str]:
    """The words of a search. Raises ValidationFailed for too many: each is compared with every row."""
    words = q.split()
    if len(words) > MAX_WORDS:
        message = f"must have at most {MAX_WORDS} words"
        raise errors.ValidationFailed(f"q: {message}", fields=[FieldError(field="q", message=message)])
    return words


def _sees(principal: Principal, memory: InventoryState, operation: Operation) -> bool:
    return sees(principal, memory, OPERATIONS.type, operation.tenant, operation)


def _matches(operation: Operation, words: list[str]) -> bool:
    if not words and operation.parent is not None:
        return False
    text = f"{operation.kind} {operation.target.name} {operation.state} {operation.actor}".lower()
    return all(word.lower() in text for word in words)
