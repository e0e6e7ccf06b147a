"""What the account screen shows, read from the server: it is not part of the event stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from novacron_core.api import access, api_tokens, second_factor, sessions, tenants
from novacron_core.api.access import User
from novacron_core.api.api_tokens import ApiToken
from novacron_core.api.base import ListQuery
from novacron_core.api.second_factor import SecondFactor
from novacron_core.api.sessions import AccountSession
from novacron_core.errors import NovaCronError
from novacron_core.values.roles import Permission, allows
from novacron_tui.connection.session import Session
from novacron_tui.terminal.safe_text import one_line

_ALL = ListQuery(page_size=1000)


@dataclass
class AccountData:
    """`version` rises with every change; `error` is why the last read failed, `read_at` when one last succeeded."""

    user: User | None = None
    factor: SecondFactor | None = None
    sessions: list[AccountSession] = field(default_factory=list)
    tokens: list[ApiToken] = field(default_factory=list)
    error: str = ""
    read_at: datetime | None = None
    version: int = 0

    async def read(self, session: Session) -> None:
        """Read everything of the own account. What cannot be read leaves what was last known."""
        client = session.client
        try:
            validation, factor, signed_in, tokens = await asyncio.gather(
                client.call(access.VALIDATE),
                client.call(second_factor.GET),
                client.call(sessions.LIST, query=_ALL),
                client.call(api_tokens.LIST, query=_ALL),
            )
        except NovaCronError as e:
            self._take(error=one_line(e.detail))
            return
        self.read_at = session.now
        self._take(user=validation.user, factor=factor, sessions=signed_in.items, tokens=tokens.items, error="")

    @property
    def others(self) -> list[AccountSession]:
        """All sessions but that of this console."""
        return [each for each in self.sessions if not each.current]

    def _take(self, **values: object) -> None:
        if any(getattr(self, name) != value for name, value in values.items()):
            for name, value in values.items():
                setattr(self, name, value)
            self.version += 1


async def reachable_tenants(session: Session) -> list[str]:
    """The tenants that the user may work in: their own, for an administrator all. Raises NovaCronError."""
    user = session.user
    if allows(user.role, Permission.ACCESS_ADMIN, user.limits):
        session.other_tenants = [each.id for each in (await session.client.call(tenants.LIST, query=_ALL)).items]
    elif not user.memberships:
        session.take_user((await session.client.call(access.VALIDATE)).user)
    return session.tenants
