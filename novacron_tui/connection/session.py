"""One operator's connection: the client, the picture, who is signed in, and the signal that something changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from novacron_core.api.access import User
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.events import SampleRequest
from novacron_core.api.operations import Operation
from novacron_core.values.roles import allows
from novacron_tui.connection.feed import Feed
from novacron_tui.connection.store import Store, VMKey
from novacron_tui.servers.server_ref import ServerRef

if TYPE_CHECKING:  # the client brings httpx and websockets: not before the first paint
    from novacron_core.client import Client, SampleSubscription, Update

Updates = Callable[["Client", int | None], AsyncIterator["Update"]]
"""Opens the event stream after a number, or from the beginning."""


class Session:
    """What every screen is given. `watch` is told after each publish; `asked` holds the VMs a request is under way
    for; `followed` the operations this operator started, until their end was told; `last_boards` the screen of each
    kind that was opened last."""

    def __init__(
        self, place: ServerRef, client: Client, who: User, store: Store, *, updates: Updates | None = None
    ) -> None:
        self.place = place
        self.client = client
        self.who = who
        self.store = store
        self.asked: set[VMKey] = set()
        self.followed: dict[str, Operation] = {}
        self.last_boards: dict[type[Any], Any] = {}
        self._updates = updates or self._stream
        self._watchers: list[Callable[[], None]] = []
        self._reading: asyncio.Future[None] | None = None
        self._again = False
        self._from: int | None = None
        self._subscription: SampleSubscription | None = None
        self.wanted: SampleRequest | None = None

    @property
    def now(self) -> datetime:
        return self.store.now()

    def may(self, endpoint: Endpoint[Any, Any, Any]) -> bool:
        """Whether this operator's role holds the endpoint's permission."""
        return allows(self.who.role, endpoint.permission)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told of every change. Answers how to be told no more."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def changed(self) -> None:
        """Tell everybody who watches."""
        for callback in tuple(self._watchers):
            callback()

    async def follow_stream(self) -> None:
        """Keep the store current until the session ends. Raises Unauthenticated and IncompatibleServer."""
        after = self.store.seq if self.store.loaded else None
        while True:
            feed = Feed(self.store, self.changed)
            self._reading = asyncio.ensure_future(feed.run(self._updates(self.client, after)))
            try:
                await self._reading
                return
            except asyncio.CancelledError:
                if not self._again:
                    self._reading.cancel()
                    raise
                self._again, after = False, self._from

    def _stream(self, client: Client, after: int | None) -> AsyncIterator[Update]:
        from novacron_core.client import SampleSubscription, stream

        self._subscription = self._subscription or SampleSubscription()
        self._subscription.want(self.wanted)
        return stream(client, after=after, subscription=self._subscription)

    def want(self, samples: SampleRequest | None) -> None:
        """Ask for these samples from now on: those that are looked at, and no others."""
        self.wanted = samples
        if self._subscription is not None:
            self._subscription.want(samples)

    def reread(self) -> None:
        """Ask the server for everything again."""
        self._open_stream(None)

    def moved(self, place: ServerRef) -> None:
        """The server listens at another address now: go on there, with the same tokens, after the last event heard."""
        self.place = place
        self.client.move(place.url)
        self._open_stream(self.store.seq if self.store.loaded else None)

    def _open_stream(self, after: int | None) -> None:
        if self._reading is not None and not self._reading.done():
            self._again, self._from = True, after
            self._reading.cancel()

    async def sign_out(self, timeout_s: float = 1.0) -> None:
        """End the session on the server if it answers in time, and close the connection."""
        from novacron_core.errors import NovaCronError

        try:
            async with asyncio.timeout(timeout_s):
                await self.client.sign_out()
        except (NovaCronError, TimeoutError):
            pass  # leaving must not wait for a server that does not answer; its session ends by its own age
        finally:
            await self.client.close()

    def settled(self) -> list[Operation]:
        """The followed operations that have ended since the last time this was asked."""
        ended = [op for op_id in self.followed if (op := self.store.operations.get(op_id)) and op.state.ended]
        for op in ended:
            del self.followed[op.id]
        return ended
