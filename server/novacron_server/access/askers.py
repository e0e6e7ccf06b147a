"""The accounts in whose names the server goes on with accepted work, as they are now."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from novacron_core import errors
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission, allows
from novacron_server.access import repository
from novacron_server.access.api_tokens import repository as api_tokens
from novacron_server.access.api_tokens.repository import TokenLimits
from novacron_server.database.transactions import Connection, Database

CHECK_EVERY_S = 1.0
"""How old the answer may be: an account that is disabled starts nothing after that."""


class Askers:
    """Work that outlives its request asks before each step whether its asker still may."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str | None, str], tuple[repository.Account | None, TokenLimits | None, float]] = {}

    async def principal(
        self, user_id: str, username: str, permission: Permission, tenant: str | None = None, api_token: str = ""
    ) -> Principal:
        """The user as of now, without a session, in a tenant; default: where a sign-in begins. `username` is for the
        sentence. `api_token` is the id of the one that began the work, empty for a session.

        Raises Forbidden when the account is gone, disabled or no longer has the permission, or when the token has ended;
        DatabaseUnavailable.
        """
        key = (user_id, tenant, api_token)
        account, limits, checked_at = self._known.get(key, (None, None, float("-inf")))
        if time.monotonic() - checked_at > CHECK_EVERY_S:

            async def read(conn: Connection) -> tuple[repository.Account | None, TokenLimits | None]:
                found = await repository.find_account(conn, user_id, tenant=tenant)
                return found, await api_tokens.limits_of(conn, api_token) if api_token else None

            account, limits = await self._database.run(read, read_only=True)
            self._known = {} if len(self._known) > 100 else self._known
            self._known[key] = (account, limits, time.monotonic())
        if account is None:
            raise errors.Forbidden(f"the account {username} no longer exists")
        if account.disabled:
            raise errors.Forbidden(f"the account {username} is disabled")
        if not account.member:
            raise errors.Forbidden(f"the account {username} no longer belongs to this tenant")
        if api_token and limits is None:
            raise errors.Forbidden("the API token that began this has ended")
        user = account.user
        if not allows(user.role, permission):
            raise errors.Forbidden(
                f"the account {username} lacks the permission {permission} now (its role: {user.role})"
            )
        return Principal(
            user.id,
            user.username,
            user.role,
            user.tenant,
            api_token,
            datetime.now(UTC),
            scope=limits.scope if limits else None,
            vm_filter=limits.vm_filter if limits else "",
        )
