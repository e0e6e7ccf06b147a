"""A one-time code that sets a new password, for somebody who has forgotten his."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from novacron_core import errors
from novacron_core.api.access import PasswordReset
from novacron_core.api.events import Priority
from novacron_core.api.people import Person, ResetCode
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission
from novacron_server.access import repository as accounts
from novacron_server.access.accounts import account_event
from novacron_server.access.attempts import Attempts
from novacron_server.access.ids import parse_id
from novacron_server.access.new_accounts import refuse
from novacron_server.access.one_time_codes import repository
from novacron_server.access.one_time_codes.code import hash_of, new_code
from novacron_server.access.one_time_codes.makers import still_may
from novacron_server.access.one_time_codes.repository import Kind, StoredCode
from novacron_server.access.passwords import Passwords
from novacron_server.access.people import repository as people
from novacron_server.access.people.rights import (
    USER_NOT_FOUND,
    RequireProof,
    no_proof,
    of_tenant_alone,
    require_account,
    require_seen,
)
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.repository import append

LIFETIME = timedelta(hours=8)
_WRONG = "The user name or the code is wrong, or the code is used up or expired. Ask for a new code."


class PasswordResets:
    """Sign-ins and new passwords of an account are counted together. `ended` gets the ids of ended sessions;
    `require_proof` is asked before a code is made."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        attempts: Attempts,
        ended: Callable[[Iterable[str]], None],
        require_proof: RequireProof = no_proof,
    ) -> None:
        self._database = database
        self._require_proof = require_proof
        self._passwords = passwords
        self._attempts = attempts
        self._ended = ended

    async def create(self, principal: Principal, user_id: str) -> ResetCode:
        """Create a code; those made before are revoked. Raises NotFound, Forbidden for an account that is not of the
        principal's tenant alone, Conflict for a disabled one."""
        user_id = parse_id(user_id, USER_NOT_FOUND)
        code = new_code()

        async def work(conn: Connection) -> ResetCode:
            await self._require_proof(conn, principal)
            person = require_seen(principal, await people.person(conn, user_id, locked=True))
            require_account(principal, person)
            if person.disabled:
                raise errors.Conflict(f"The account {person.username} is disabled. Enable it first.")
            await repository.revoke_of_account(conn, user_id)
            expires_at = await repository.add(
                conn,
                code_id=str(uuid.uuid4()),
                kind=Kind.PASSWORD_RESET,
                code_hash=hash_of(code),
                tenant=principal.tenant,
                user_id=user_id,
                created_by=principal.user_id,
                lifetime=LIFETIME,
            )
            event = account_event(person, "access.reset_code_created", by=principal.username, priority=Priority.HIGH)
            await append(conn, [event])
            return ResetCode(code=code, expires_at=expires_at)

        made = await self._database.run(work)
        self._ended([])
        return made

    async def reset(self, body: PasswordReset, address: str) -> None:
        """Set a new password and end every session of the account.

        Raises ValidationFailed for an unacceptable password, RateLimited, and Forbidden with one sentence and after the
        same work for an unknown user and for a code that is not open.
        """
        refuse({"new_password": await self._passwords.why_not(body.new_password, body.username)})
        attempt = await self._database.run(lambda conn: self._attempts.claim(conn, body.username, address))
        hashed = await self._passwords.hash(body.new_password)

        async def work(conn: Connection) -> list[str]:
            code = await repository.use(conn, Kind.PASSWORD_RESET, hash_of(body.code), username=attempt.account)
            person = await people.person(conn, code.user_id, locked=True) if code and code.user_id else None
            if code is None or person is None or person.disabled or not await _may_reset(conn, code, person):
                raise errors.Forbidden(_WRONG)
            await self._attempts.succeed(conn, attempt)
            changed_at = datetime.now(UTC)
            await accounts.update_account(conn, person.id, password_hash=hashed, password_changed_at=changed_at)
            await repository.revoke_of_account(conn, person.id)
            event = account_event(person, "access.password_reset", by=person.username, priority=Priority.HIGH)
            await append(conn, [event])
            return await accounts.revoke_all_sessions(conn, person.id)

        self._ended(await self._database.run(work))


async def _may_reset(conn: Connection, code: StoredCode, person: Person) -> bool:
    """Whether who has made the code could make it now. The account may have joined other tenants since."""
    if await still_may(conn, code, Permission.ACCESS_ADMIN):
        return True
    return of_tenant_alone(person, code.tenant) and await still_may(conn, code, Permission.PEOPLE_CHANGE)
