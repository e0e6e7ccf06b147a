"""Changes the caller's own password."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from novacron_core.api.events import Priority
from novacron_core.errors import Forbidden
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository
from novacron_server.access.accounts import account_event
from novacron_server.access.attempts import Attempt, Attempts
from novacron_server.access.new_accounts import refuse
from novacron_server.access.one_time_codes.repository import revoke_of_account
from novacron_server.access.passwords import Passwords
from novacron_server.access.repository import Account
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.repository import append

_WRONG = "The old password is wrong"


class OwnPassword:
    """Guesses of the old password count as sign-ins: whoever has stolen an access token must not find it out.

    `ended` gets the ids of ended sessions.
    """

    def __init__(
        self, database: Database, passwords: Passwords, attempts: Attempts, ended: Callable[[Iterable[str]], None]
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._ended = ended

    async def change(self, caller: Principal, old: str, new: str, address: str) -> None:
        """Set a new password. Every session of the account ends, the caller's too.

        Raises ValidationFailed for an unacceptable new password, RateLimited, Forbidden for a wrong old one.
        """
        refuse({"new": await self._passwords.why_not(new, caller.username)})

        async def claim(conn: Connection) -> tuple[Attempt, Account | None]:
            attempt = await self._attempts.claim(conn, caller.username, address)
            return attempt, await repository.find_account(conn, caller.user_id)

        attempt, account = await self._database.run(claim)
        stored = account.password_hash if account else None
        if account is None or not (await self._passwords.compare(old, stored, known=attempt.known)).right:
            raise Forbidden(_WRONG)
        hashed = await self._passwords.hash(new)

        async def work(conn: Connection) -> list[str]:
            now = await repository.find_account(conn, caller.user_id, locked=True)
            if now is None or now.password_hash != account.password_hash:
                raise Forbidden(_WRONG)  # it changed while it was compared
            await self._attempts.succeed(conn, attempt)
            changed_at = datetime.now(UTC)
            await repository.update_account(conn, caller.user_id, password_hash=hashed, password_changed_at=changed_at)
            await revoke_of_account(conn, caller.user_id)
            ended = await repository.revoke_all_sessions(conn, caller.user_id)
            event = account_event(account.user, "access.password_changed", by=caller.username, priority=Priority.HIGH)
            await append(conn, [event])
            return ended

        self._ended(await self._database.run(work))
