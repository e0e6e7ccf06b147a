"""Places for work that lasts: so many at a time, and the tenants take turns, so that none waits for all of another's."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

T = TypeVar("T")
ACTS_FOR: ContextVar[str] = ContextVar("acts_for", default="")
"""The tenant for which the current request or operation works, empty for the server itself."""


@contextmanager
def for_everybody() -> Iterator[None]:
    """What is done within counts as the server's own: others wait for it too, and not for the turn of who began it."""
    token = ACTS_FOR.set("")
    try:
        yield
    finally:
        ACTS_FOR.reset(token)


_Wait = tuple[int, asyncio.Future[None]]
"""For how many places, and what is done when they are given."""


class TurnQueue(Generic[T]):
    """A queue in which each tenant has one of its own, of which the first ones are taken in turn."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}
        """By tenant; the first one has the next turn."""

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[T]:
        return (item for queue in list(self._queues.values()) for item in list(queue))

    def add(self, tenant: str, item: T) -> None:
        self._queues.setdefault(tenant, deque()).append(item)

    def peek(self) -> T:
        """The item that `take` returns next. Raises StopIteration if there is none."""
        return self._queues[next(iter(self._queues))][0]

    def take(self) -> T:
        """Remove the first item of the tenant whose turn it is. Raises StopIteration if there is none."""
        tenant = next(iter(self._queues))
        queue = self._queues.pop(tenant)
        item = queue.popleft()
        if queue:
            self._queues[tenant] = queue  # behind the other tenants
        return item

    def remove(self, item: T) -> None:
        """Remove an item that waits. Does nothing if it does not."""
        for tenant, queue in list(self._queues.items()):
            if item in queue:
                queue.remove(item)
                if not queue:
                    del self._queues[tenant]

    def clear(self) -> list[T]:
        """Remove all items and return them."""
        items = list(self)
        self._queues.clear()
        return items


class Places:
    """Gives `size` places to tenants in turn, and within a tenant in the order in which they are asked for.

    A tenant holds at most `of_one` of them; None: all. What is of no tenant counts as of one more. For one event loop.
    """

    def __init__(self, size: int, of_one: int | None = None) -> None:
        self._free = size
        self._of_one = of_one or size
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[_Wait]] = {}
        """By tenant; the first one has the next turn."""

    def must_wait(self, tenant: str | None, count: int = 1) -> bool:
        """Whether who asks for this many places now would have to wait for others."""
        key = tenant or ""
        nobody_waits = self._next() is None and key not in self._waiting
        return not nobody_waits or not self._may_hold(key, count) or count > self._free

    @asynccontextmanager
    async def hold(self, tenant: str | None, count: int = 1) -> AsyncIterator[None]:
        """Hold this many places, at most `of_one`. Waits for them as long as others hold them."""
        await self.acquire(tenant, count)
        try:
            yield
        finally:
            self.release(tenant, count)

    async def acquire(self, tenant: str | None, count: int = 1) -> None:
        """Wait for this many places. They must be given back with `release`, unless this is cancelled."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant or "", deque()).append((count, given))
        self._give()
        try:
            await given
        except asyncio.CancelledError:
            if given.cancelled():
                self._give()  # to those who waited behind it
            else:
                self.release(tenant, count)
            raise

    def release(self, tenant: str | None, count: int = 1) -> None:
        """Give back what `acquire` has given."""
        key = tenant or ""
        self._held[key] -= count
        if not self._held[key]:
            del self._held[key]
        self._free += count
        self._give()

    def _give(self) -> None:
        """Give free places to those whose turn it is. Nobody overtakes who waits for several."""
        while (key := self._next()) is not None:
            count, given = self._waiting[key][0]
            if count > self._free:
                return
            self._waiting[key].popleft()
            self._held[key] += count
            self._free -= count
            given.set_result(None)
            self._waiting[key] = self._waiting.pop(key)  # behind the other tenants

    def _next(self) -> str | None:
        """The tenant whose turn it is: the first that waits and does not hold all that it may."""
        for key in list(self._waiting):
            waits = self._waiting[key]
            while waits and waits[0][1].cancelled():
                waits.popleft()
            if not waits:
                del self._waiting[key]
            elif self._may_hold(key, waits[0][0]):
                return key
        return None

    def _may_hold(self, key: str, count: int) -> bool:
        return self._held[key] + count <= self._of_one
