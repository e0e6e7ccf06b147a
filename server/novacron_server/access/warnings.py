"""Warnings about what endangers access: events of high priority, for administrators only."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.access import User
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append


def warning(subject: Target, sentence: str, *, by: str = "") -> EventDraft:
    """The event that warns administrators. `by` is who did it, where that is known: for them it is no news."""
    return EventDraft(
        type="access.warning", source="access", target=subject, priority=Priority.HIGH, note=sentence, actor=by
    )


class SecurityWarnings:
    """Writes warnings. `wake` is called after the commit of one in its own transaction."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake

    async def of_account(self, conn: Connection, user: User, sentence: str) -> None:
        """Write one about an account, last in a transaction."""
        await append(conn, [warning(Target(type="user", id=user.id, name=user.username), sentence)])

    async def of_chain(self, tenant: str, problem: str) -> None:
        """Write one about the audit log of a tenant. Raises DatabaseUnavailable."""
        of = f" of the tenant {tenant}" if tenant else ""
        found = warning(Target(type="audit", id=tenant, name="audit log"), f"the audit log{of} was changed: {problem}")
        await self._database.run(lambda conn: append(conn, [found]))
        self._wake()
