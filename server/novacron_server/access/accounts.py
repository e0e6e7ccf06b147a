"""Creates accounts and changes their roles and passwords. A change of permissions ends the tokens issued before it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

from novacron_core.api.access import Register, User
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.errors import Conflict, Forbidden, NotFound, ValidationFailed
from novacron_core.rules.visibility import Principal, may, may_see
from novacron_core.values.names import why_not_username
from novacron_core.values.roles import Permission, Role
from novacron_server.access import repository
from novacron_server.access.passwords import Passwords
from novacron_server.access.setup_token import SetupToken
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append

DEFAULT_TENANT = "default"
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
_SET_UP = "This server already has an administrator. Ask the administrator for an account."


class Accounts:
    """The rules for accounts. Sessions appear here only as the ids whose tokens have ended."""

    def __init__(
        self, database: Database, hashing: Passwords, setup_token: SetupToken, *, open_registration: bool
    ) -> None:
        self._database = database
        self._passwords = hashing
        self._setup_token = setup_token
        self._open_registration = open_registration

    async def register(self, request: Register, caller: Principal | None) -> User:
        """Create an account: the first with the setup token, later ones by an administrator or by open registration.

        Raises ValidationFailed, Forbidden, Conflict for a name that is taken.
        """
        first = await self._database.run(repository.count_accounts, read_only=True) == 0
        user = self._permitted_user(request, caller, first=first)
        await self._check(request.username, request.password, request.email)
        hashed = await self._passwords.hash(request.password)

        async def work(conn: Connection) -> None:
            if (await repository.lock_and_count_accounts(conn) == 0) != first:
                raise Forbidden(_SET_UP)
            if not await repository.add_account(conn, user, hashed):
                taken = "This user name is taken. Choose another one."
                raise Conflict(taken, fields=[FieldError(field="username", message=taken)])
            by = caller.username if caller else user.username  # the first one, and those of open registration
            await append(conn, [account_event(user, "access.user_created", by=by)])

        await self._database.run(work)
        if first:
            self._setup_token.end()
        return user

    async def change_role(self, user_id: str, role: Role, caller: Principal) -> list[str]:
        """Change an account's role; returns the ids of the sessions whose tokens are no longer valid.

        Raises Forbidden, NotFound, Conflict when no administrator would be left.
        """
        if not may(caller, Permission.ACCESS_ADMIN):
            raise Forbidden("Only administrators can change roles")

        async def work(conn: Connection) -> list[str]:
            administrators = await repository.lock_and_count_administrators(conn)
            account = await repository.find_account(conn, user_id, locked=True)
            if account is None or not may_see(caller, account.user.tenant):
                raise NotFound("user not found")
            if account.user.role is role:
                return []
            if account.user.role is Role.ADMINISTRATOR and not account.disabled and administrators == 1:
                raise Conflict("This is the last administrator. Make another user administrator first.")
            await repository.update_account(conn, user_id, administrator=role is Role.ADMINISTRATOR)
            if role is not Role.ADMINISTRATOR:
                await repository.set_membership(conn, user_id, account.user.tenant, role)
            ended = await repository.active_session_ids(conn, user_id)
            event = account_event(
                account.user, "access.role_changed", by=caller.username, note=f"now {role}", priority=Priority.HIGH
            )
            await append(conn, [event])
            return ended

        return await self._database.run(work)

    async def change_password(self, old: str, new: str, caller: Principal) -> list[str]:
        """Change the caller's own password; returns the ids of all sessions of the account, which have now ended.

        Raises ValidationFailed for an unacceptable new password, Forbidden for a wrong old one.
        """
        await self._check(caller.username, new)
        account = await self._database.run(lambda conn: repository.find_account(conn, caller.user_id), read_only=True)
        if account is None or not (await self._passwords.compare(old, account.password_hash, known=True)).right:
            raise Forbidden("The old password is wrong")
        hashed = await self._passwords.hash(new)

        async def work(conn: Connection) -> list[str]:
            now = datetime.now(UTC)
            await repository.update_account(conn, caller.user_id, password_hash=hashed, password_changed_at=now)
            ended = await repository.revoke_all_sessions(conn, caller.user_id)
            event = account_event(account.user, "access.password_changed", by=caller.username, priority=Priority.HIGH)
            await append(conn, [event])
            return ended

        return await self._database.run(work)

    async def _check(self, username: str, password: str, email: str = "") -> None:
        """Raises ValidationFailed with every wrong field; RateLimited."""
        wrong = {
            "username": why_not_username(username),
            "password": await self._passwords.why_not(password, username),
            "email": None if not email or _EMAIL.fullmatch(email) else "This is not an e-mail address",
        }
        fields = [FieldError(field=field, message=why) for field, why in wrong.items() if why]
        if fields:
            raise ValidationFailed(fields[0].message, fields=fields)

    def _permitted_user(self, request: Register, caller: Principal | None, *, first: bool) -> User:
        """The account that the caller may create with this request. Raises Forbidden."""
        role, tenant = request.role, DEFAULT_TENANT
        if first:
            if not self._setup_token.matches(request.setup_token):
                raise Forbidden("The first account needs the setup token from the file setup-token on the server")
            role = Role.ADMINISTRATOR
        elif caller is not None and may(caller, Permission.ACCESS_ADMIN):
            tenant = caller.tenant
        elif not self._open_registration:
            raise Forbidden(_SET_UP if request.setup_token else "Only an administrator can create accounts here")
        elif role is not Role.VIEWER:
            raise Forbidden("Only an administrator can assign roles")
        return User(
            id=str(uuid.uuid4()),
            username=request.username,
            email=request.email,
            role=role,
            tenant=tenant,
            created_at=datetime.now(UTC),
        )


def account_event(
    user: User, kind: str, *, by: str, note: str = "", priority: Priority = Priority.NORMAL
) -> EventDraft:
    """An event about an account. It contains the name and no secret. `by` is the name of who did it, empty for the
    server."""
    target = Target(type="user", id=user.id, name=user.username)
    return EventDraft(
        type=kind, source="access", target=target, tenant=user.tenant, priority=priority, note=note, actor=by
    )
