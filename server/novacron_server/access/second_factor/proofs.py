"""Asks a signed-in user once more who they are: a stolen session, or an unattended console, changes no access."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from novacron_core.api.second_factor import Prove, Proved
from novacron_core.errors import Forbidden, ReauthenticationRequired
from novacron_core.rules.visibility import Principal
from novacron_server.access import repository as accounts
from novacron_server.access.attempts import Attempt, Attempts
from novacron_server.access.passwords import Passwords
from novacron_server.access.repository import Account
from novacron_server.access.second_factor import repository
from novacron_server.access.second_factor.check import use_code
from novacron_server.database.transactions import Connection, Database

LASTS = timedelta(minutes=10)
_WRONG = "The password or the code is wrong"
_WRONG_PASSWORD = "The password is wrong"  # noqa: S105 - a sentence
_ASK = "Changing access needs your password again: it was last given more than 10 minutes ago"
_NO_SESSION = "An API token cannot change access. Sign in with your password."
T = TypeVar("T")


class Proofs:
    """Wrong answers count as failed sign-ins of the account, and slow further ones down in the same way."""

    def __init__(self, database: Database, passwords: Passwords, attempts: Attempts) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts

    async def prove(self, caller: Principal, request: Prove, address: str) -> Proved:
        """Take the proof for the caller's session. Raises Forbidden for a wrong password or code, RateLimited."""

        async def work(conn: Connection, _: Account) -> Proved:
            return Proved(proved_until=await repository.note_proof(conn, caller.session_id, LASTS))

        return await self.check(caller, request.password, request.totp, address, work)

    async def require(self, conn: Connection, caller: Principal) -> None:
        """For dangerous changes of access: raises ReauthenticationRequired when the last proof, or the sign-in, is too
        old, and Forbidden for an API token."""
        proved = await repository.is_proved(conn, caller.session_id, LASTS)
        if proved is None:
            raise Forbidden(_NO_SESSION)
        if not proved:
            raise ReauthenticationRequired(_ASK)

    async def check(
        self,
        caller: Principal,
        password: str,
        code: str | None,
        address: str,
        then: Callable[[Connection, Account], Awaitable[T]],
    ) -> T:
        """Do `then` when the password is the caller's, and the code is right where the account has a second factor;
        None asks for no code.

        Raises Forbidden, RateLimited, and what `then` raises.
        """

        async def claim(conn: Connection) -> tuple[Attempt, Account | None]:
            attempt = await self._attempts.claim(conn, caller.username, address)
            return attempt, await accounts.find_account(conn, caller.user_id)

        attempt, account = await self._database.run(claim)
        stored = account.password_hash if account else None
        right = (await self._passwords.compare(password, stored, known=attempt.known)).right
        wrong = _WRONG if code is not None and account is not None and account.totp_on else _WRONG_PASSWORD
        if account is None or not right:
            raise Forbidden(wrong)

        async def work(conn: Connection) -> T:
            now = await accounts.find_account(conn, caller.user_id, tenant=caller.tenant, locked=True)
            if now is None or now.password_hash != account.password_hash:
                raise Forbidden(wrong)
            if code is not None and now.totp_on and not await use_code(conn, now, code):
                raise Forbidden(wrong)
            await self._attempts.succeed(conn, attempt)
            return await then(conn, now)

        return await self._database.run(work)
