"""The session of a signed-in user: client, store, user, and change notifications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import structs

from novacron_core.api.access import VALIDATE, User
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.events import InventoryFrame, SampleRequest
from novacron_core.api.operations import BulkItem, Operation
from novacron_core.api.tiering import POLICY
from novacron_core.values.roles import SET_UP_ONLY, allows
from novacron_tui.connection.arranged import Arranged
from novacron_tui.connection.feed import Feed
from novacron_tui.connection.policy import KnownPolicy
from novacron_tui.connection.store import Store, VMKey
from novacron_tui.servers.server_ref import ServerRef

_READ_USER_S = 5.0

if TYPE_CHECKING:  # the client imports httpx and websockets: not before the first paint
    from novacron_core.client import Client, SampleSubscription, Update

Updates = Callable[["Client", int | None], AsyncIterator["Update"]]
"""Opens the event stream after a sequence number, or with a full inventory (None)."""


class Session:
    """Passed to every screen. `in_flight` holds the VMs with a request in progress; `followed` the operations that this
    operator started, until their end is reported; `left_out`, by bulk, the VMs that it does not request; `last_screens` the last opened screen of each type."""

    def __init__(
        self,
        server: ServerRef,
        client: Client,
        user: User,
        store: Store,
        *,
        updates: Updates | None = None,
        on_rights: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_rights` gets a sentence when the role or tenant of the user has changed."""
        self.server = server
        self.client = client
        self.user = user
        self.store = store
        store.username = user.username
        self.in_flight: set[VMKey] = set()
        self.followed: dict[str, Operation] = {}
        self.left_out: dict[str, list[BulkItem]] = {}
        self.arranged = Arranged(server.kept, user.id)
        self.last_here: datetime | None = None
        """When this user was last in a console of this profile, by the server's clock; None if that is not known."""
        self.last_screens: dict[type[Any], Any] = {}
        self.other_tenants: list[str] = []
        """Tenants that an administrator may work in, as far as they were read."""
        self.policy = KnownPolicy()
        self._updates = updates or self._stream
        self._watchers: list[Callable[[], None]] = []
        self._reading: asyncio.Future[None] | None = None
        self._reopening = False
        self._connected = False
        self._resume_after: int | None = None
        self._read_all = False
        """A full inventory is wanted, and has not arrived yet."""
        self._subscription: SampleSubscription | None = None
        self.wanted: SampleRequest | None = None
        self._on_rights = on_rights
        client.credentials.watch(self._take_renewed)

    def _take_renewed(self, user: User) -> None:
        """The account of new tokens. If somebody else signs in, the app opens a session of theirs."""
        if user.id == self.user.id:
            self.take_user(user)

    def take_user(self, user: User) -> None:
        """The account as it is now. With another role, tenant or scope other objects are seen, so read them all."""
        before = self.user
        # A renewal does not tell the memberships: many at once would each read them.
        self.user = user if user.memberships else structs.replace(user, memberships=before.memberships)
        self.changed()
        if (before.role, before.tenant, before.scope) == (user.role, user.tenant, user.scope):
            return
        self.reload()
        if user.limits == SET_UP_ONLY:
            self._on_rights(f"the tenant {user.tenant} requires a second factor: :account, then :second-factor")
            return
        if (before.role, before.tenant) == (user.role, user.tenant):
            return
        where = f"in the tenant {user.tenant}" if user.tenant != before.tenant else "now"
        self._on_rights(f"you are {user.role} {where}" if user.role != before.role else f"you work {where} now")

    @property
    def now(self) -> datetime:
        return self.store.now()

    @property
    def tenants(self) -> list[str]:
        """The tenants that this user is known to be able to work in."""
        own = [each.tenant for each in self.user.memberships] or [self.user.tenant]
        return list(dict.fromkeys([*own, *self.other_tenants]))

    def may(self, endpoint: Endpoint[Any, Any, Any]) -> bool:
        """Whether this operator's role holds the endpoint's permission."""
        return allows(self.user.role, endpoint.permission, self.user.limits)

    async def read_policy(self) -> None:
        """Read the storage policy, if this operator may and it was not read lately."""
        if self.may(POLICY):
            await self.policy.read(self.client)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every change. Returns a function that unsubscribes it."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def changed(self) -> None:
        """Notify all watchers."""
        for callback in tuple(self._watchers):
            callback()

    async def follow_stream(self) -> None:
        """Keep the store current until the session ends. Raises Unauthenticated and IncompatibleServer."""
        after = self._position
        while True:
            feed = Feed(self.store, self.changed)
            self._reading = asyncio.ensure_future(feed.run(self._with_user(self._updates(self.client, after))))
            try:
                await self._reading
                return
            except asyncio.CancelledError:
                if not self._reopening:
                    self._reading.cancel()
                    raise
                self._reopening, after = False, self._resume_after

    async def _with_user(self, updates: AsyncIterator[Update]) -> AsyncIterator[Update]:
        """The updates. After a lost connection the user is read again: the server closes streams whose rights change."""
        from novacron_core.client import Connected

        async for update in updates:
            yield update
            if isinstance(update, InventoryFrame) and update.last:
                self._read_all = False
            if isinstance(update, Connected):
                if self._connected:
                    await self._read_user()
                self._connected = True

    async def _read_user(self) -> None:
        """Read the user again, as far as the server answers: the stream itself ends when the session has ended."""
        from novacron_core.errors import NovaCronError

        with suppress(NovaCronError, TimeoutError):
            async with asyncio.timeout(_READ_USER_S):
                self.take_user((await self.client.call(VALIDATE)).user)

    def _stream(self, client: Client, after: int | None) -> AsyncIterator[Update]:
        from novacron_core.client import SampleSubscription, stream

        self._subscription = self._subscription or SampleSubscription()
        self._subscription.want(self.wanted)
        return stream(client, after=after, subscription=self._subscription)

    def want(self, samples: SampleRequest | None) -> None:
        """Request these samples from now on, and no others."""
        self.wanted = samples
        if self._subscription is not None:
            self._subscription.want(samples)

    def reload(self) -> None:
        """Request the full inventory again."""
        self._read_all = True
        self._open_stream(None)

    def use_server(self, server: ServerRef) -> None:
        """Continue at the server's new address, with the same tokens, after the last received event."""
        self.server = server
        self.client.move(server.url)
        self._open_stream(self._position)

    @property
    def _position(self) -> int | None:
        """After which event the stream goes on; None when everything is to be read."""
        return self.store.seq if self.store.loaded and not self._read_all else None

    def _open_stream(self, after: int | None) -> None:
        if self._reading is not None and not self._reading.done():
            self._reopening, self._resume_after = True, after
            self._reading.cancel()

    async def sign_out(self, timeout_s: float = 1.0) -> None:
        """End the session on the server if it answers in time, and close the connection."""
        from novacron_core.errors import NovaCronError

        try:
            async with asyncio.timeout(timeout_s):
                await self.client.sign_out()
        except (NovaCronError, TimeoutError):
            pass  # do not wait for a server that does not respond; the session expires by itself
        finally:
            await self.client.close()

    def take_ended(self) -> list[Operation]:
        """Remove and return the followed operations that have ended."""
        ended = [op for op_id in self.followed if (op := self.store.operations.get(op_id)) and op.state.ended]
        for op in ended:
            del self.followed[op.id]
        return ended
