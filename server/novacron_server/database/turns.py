"""Turns for reads that take long: so many at a time, and of each user one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    """A user's reads wait for each other, not everybody for them."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._users: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, user_id: str) -> AsyncIterator[None]:
        async with self._users.setdefault(user_id, asyncio.Lock()), self._slots:
            yield
