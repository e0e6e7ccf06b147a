"""Authenticates API tokens, and notes when and from where each was used."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from novacron_core.api.api_tokens import PREFIX
from novacron_core.errors import DatabaseUnavailable, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_server.access.api_tokens import repository
from novacron_server.access.live import MAX_SESSIONS, SessionCache, principal_of
from novacron_server.access.tokens import fingerprint, opaque
from novacron_server.database.transactions import Connection, Database

NOTE_EVERY_S = 60.0
"""How often the last use of a token is written."""
KEPT_AFTER_END = timedelta(days=30)
_LENGTH = len(PREFIX) + len(opaque())
_INVALID = "This API token is not valid: it was revoked, has expired, or never existed."


class LiveApiTokens:
    """The API tokens in use. `on_end` gets the id of one that ended, or whose user has other rights now."""

    def __init__(self, database: Database, on_end: Callable[[str], None]) -> None:
        self._database = database
        self._live = SessionCache(database, on_end, repository.find)
        self._ids: OrderedDict[bytes, str] = OrderedDict()
        self._uses: dict[str, tuple[datetime, str]] = {}
        self._noted: OrderedDict[str, float] = OrderedDict()

    async def authenticate(self, token: str, address: str) -> Principal:
        """The user of an API token, limited to its scope, as of now.

        Raises Unauthenticated; DatabaseUnavailable for a token that was not used before.
        """
        print_ = self._fingerprint(token)
        token_id = self._ids.get(print_) if print_ else None
        if print_ and token_id is None:
            found = await self._database.run(lambda conn: repository.find_id(conn, print_), read_only=True)
            token_id = self._remember(print_, found) if found else None
        if token_id is None:
            raise Unauthenticated(_INVALID)
        try:
            session = await self._live.session(token_id)
        except Unauthenticated:
            raise Unauthenticated(_INVALID) from None
        self._note(token_id, address)
        return principal_of(session, session.expires_at)

    def user_of(self, token: str) -> str:
        """The id of the user of a token that is in use, else empty."""
        token_id = self._ids.get(self._fingerprint(token) or b"")
        session = self._live.known(token_id) if token_id else None
        return session.account.user.id if session else ""

    def forget(self, token_id: str) -> None:
        """Read the token again on its next use."""
        self._live.forget(token_id)

    async def check(self) -> None:
        """End the tokens that ended in the database, and write their uses."""
        await self._live.check()
        if self._uses:
            uses, self._uses = self._uses, {}
            try:
                await self._database.run(lambda conn: repository.note_uses(conn, uses))
            except DatabaseUnavailable:
                self._uses = {**uses, **self._uses}

    async def clean(self) -> None:
        """Delete the rows of tokens that ended long ago. Raises DatabaseUnavailable."""
        before = datetime.now(UTC) - KEPT_AFTER_END

        async def work(conn: Connection) -> None:
            await repository.prune(conn, before)

        await self._database.run(work, timeout_s=30)

    def _fingerprint(self, token: str) -> bytes | None:
        """What is stored of a token; None for a text that cannot be one."""
        return fingerprint(token) if len(token) == _LENGTH and token.isascii() else None

    def _remember(self, print_: bytes, token_id: str) -> str:
        self._ids[print_] = token_id
        if len(self._ids) > MAX_SESSIONS:
            self._ids.popitem(last=False)
        return token_id

    def _note(self, token_id: str, address: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(token_id, float("-inf")) < NOTE_EVERY_S:
            return
        self._noted[token_id] = now
        self._noted.move_to_end(token_id)
        if len(self._noted) > MAX_SESSIONS:
            self._noted.popitem(last=False)
        self._uses[token_id] = (datetime.now(UTC), address[:64])
