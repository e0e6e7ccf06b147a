"""Applies the event stream to the store; the only writer of the store.

The first change is published at once, so that an event is on the screen within milliseconds. After that there is at
most one publish per gap, which bounds the cost of an event storm.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from novacron_core.api.events import InventoryFrame
from novacron_tui.connection.store import Store

if TYPE_CHECKING:  # the client imports httpx and websockets: not before the first paint
    from novacron_core.client import Update

GAP_S = 0.1


class Feed:
    """Follows `updates` until it ends or raises. `publish` is called after the store has changed."""

    def __init__(self, store: Store, publish: Callable[[], None], *, gap_s: float = GAP_S) -> None:
        self._store = store
        self._publish = publish
        self._gap_s = gap_s
        self._last = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._left_out = False

    async def run(self, updates: AsyncIterator[Update]) -> None:
        """Apply every update. Raises what `updates` raises: Unauthenticated, IncompatibleServer."""
        try:
            async for update in updates:
                if self._apply(update):
                    self._schedule()
        finally:
            self._stop()

    def _apply(self, update: Update) -> bool:
        from novacron_core.client import Connected, Disconnected

        if isinstance(update, Connected):
            self._store.set_connected(update.hello, update.took_s)
            return True
        if isinstance(update, Disconnected):
            self._store.set_disconnected(update.reason, update.retry_s)
            return True
        changed = self._store.apply(update)
        if changed and isinstance(update, InventoryFrame):
            self._leave_out_of_collections()
        return changed

    def _leave_out_of_collections(self) -> None:
        """With ten thousand VMs a full collection takes 0.25 s and frees nothing of them: what there is now is left out of
        all later ones, but for what has become garbage since an earlier inventory."""
        if self._left_out:
            gc.unfreeze()
            gc.collect()
        self._left_out = True
        gc.freeze()

    def _schedule(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait_s = self._last + self._gap_s - loop.time()
        if wait_s <= 0:
            self._publish_now()
        else:
            self._timer = loop.call_later(wait_s, self._publish_now)

    def _publish_now(self) -> None:
        self._timer = None
        self._last = asyncio.get_running_loop().time()
        self._publish()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._publish_now()
