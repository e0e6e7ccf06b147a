"""The event stream, folded into the store: the only writer of it.

The first change after quiet is published at once, so that an event is on the screen in milliseconds; after that, at
most one publish per gap, so that a storm costs no more than a breeze.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from novacron_core.api.events import InventoryFrame
from novacron_tui.connection.store import Store

if TYPE_CHECKING:  # the client brings httpx and websockets: not before the first paint
    from novacron_core.client import Update

GAP_S = 0.1


class Feed:
    """Follows `updates` until it ends or raises. `publish` is told that the store has changed."""

    def __init__(self, store: Store, publish: Callable[[], None], *, gap_s: float = GAP_S) -> None:
        self._store = store
        self._publish = publish
        self._gap_s = gap_s
        self._last = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, updates: AsyncIterator[Update]) -> None:
        """Fold every update in. Raises what `updates` raises: Unauthenticated, IncompatibleServer."""
        try:
            async for update in updates:
                if self._fold(update):
                    self._change()
        finally:
            self._stop()

    def _fold(self, update: Update) -> bool:
        from novacron_core.client import Connected, Disconnected

        if isinstance(update, Connected):
            self._store.live(update.hello)
            return True
        if isinstance(update, Disconnected):
            self._store.lost(update.reason, update.retry_s)
            return True
        changed = self._store.apply(update)
        if changed and isinstance(update, InventoryFrame):
            gc.freeze()  # of ten thousand VMs a full collection takes a quarter of a second, and finds nothing
        return changed

    def _change(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait_s = self._last + self._gap_s - loop.time()
        if wait_s <= 0:
            self._send()
        else:
            self._timer = loop.call_later(wait_s, self._send)

    def _send(self) -> None:
        self._timer = None
        self._last = asyncio.get_running_loop().time()
        self._publish()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._send()
