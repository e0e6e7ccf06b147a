"""The plain callback of a transfer as told progress, one message at a time."""

from __future__ import annotations

import asyncio

from novacron_server.operations.context import OperationContext


class TransferProgress:
    """Use it as the callback, within `async with`, so that the last message is out at its end. `before` and `total`
    are bytes: for a part of something larger."""

    def __init__(self, run: OperationContext, before: int = 0, total: int = 0) -> None:
        self._run, self._before, self._total = run, before, total
        self._telling: asyncio.Task[None] | None = None

    def __call__(self, done_bytes: int, of_bytes: int) -> None:
        if self._telling is None or self._telling.done():
            moved = self._run.report_bytes(self._before + done_bytes, self._total or of_bytes)
            self._telling = asyncio.ensure_future(moved)

    async def __aenter__(self) -> TransferProgress:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._telling is not None:
            await asyncio.gather(self._telling, return_exceptions=True)
