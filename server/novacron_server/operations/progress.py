"""Publishes the progress that a transfer reports through its callback."""

from __future__ import annotations

import asyncio
from typing import Any

from novacron_server.operations.context import OperationContext


class TransferProgress:
    """The callback of a transfer. `async with` waits at its end for the last message; at most one is on its way.

    `before` and `total` are bytes, for a transfer that is part of a larger one.
    """

    def __init__(self, context: OperationContext[Any], before: int = 0, total: int = 0) -> None:
        self._context, self._before, self._total = context, before, total
        self._publishing: asyncio.Task[None] | None = None

    def __call__(self, done_bytes: int, of_bytes: int) -> None:
        if self._publishing is None or self._publishing.done():
            published = self._context.report_bytes(self._before + done_bytes, self._total or of_bytes)
            self._publishing = asyncio.ensure_future(published)

    async def __aenter__(self) -> TransferProgress:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._publishing is not None:
            await asyncio.gather(self._publishing, return_exceptions=True)
