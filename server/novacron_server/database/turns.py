"""Turns for reads that take long: so many at a time, of each tenant fewer, and of each user one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from novacron_core import errors
from novacron_core.rules.visibility import Principal
from novacron_server.places import Places


class Turns:
    """A user's reads wait for each other, not everybody for them; and one tenant's never take all places."""

    def __init__(self, at_once: int, of_tenant: int | None = None, *, within: Places) -> None:
        """Of a tenant at most `of_tenant` at once; None: all but one, so that another tenant's finds a place. `within` are
        the places that all such reads of a database share (`Database.long_reads`)."""
        self._places = Places(at_once, of_tenant or max(1, at_once - 1))
        self._within = within
        self._users: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, principal: Principal, patience_s: float | None = None, refusal: str = "") -> AsyncIterator[None]:
        """A turn of this user. Raises RateLimited with the sentence `refusal` if it has not come within the patience."""
        user = self._users.setdefault(principal.user_id, asyncio.Lock())
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(patience_s):
                    await turn.enter_async_context(user)
                    await turn.enter_async_context(self._places.hold(principal.tenant))
                    await turn.enter_async_context(self._within.hold(principal.tenant))
            except TimeoutError as e:
                raise errors.RateLimited(refusal, retry_after_s=5) from e
            yield
