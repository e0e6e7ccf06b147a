"""Accounts: made, given a role, given another password. Whatever changes what one may do ends the tokens that said so."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

from novacron_core.api.access import Register, User
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.problem import FieldError
from novacron_core.errors import Conflict, Forbidden, NotFound, ValidationFailed
from novacron_core.rules.visibility import Principal, may_see
from novacron_core.values.names import why_not_username
from novacron_core.values.roles import Permission, Role, allows
from novacron_server.access import passwords, repository
from novacron_server.access.passwords import Passwords
from novacron_server.access.setup_token import SetupToken
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append

DEFAULT_TENANT = "default"
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")
_SET_UP = "this server has its administrator already; ask for an account there"


class Accounts:
    """The decisions about accounts. Nothing here knows of sessions but by the ids whose tokens ended."""

    def __init__(
        self, database: Database, hashing: Passwords, setup_token: SetupToken, *, open_registration: bool
    ) -> None:
        self._database = database
        self._passwords = hashing
        self._setup_token = setup_token
        self._open_registration = open_registration

    async def register(self, request: Register, caller: Principal | None) -> User:
        """Make an account: the first with the setup token, later ones by an administrator or by open registration.

        Raises ValidationFailed, Forbidden, Conflict for a name that is taken.
        """
        first = await self._database.run(repository.count_accounts, read_only=True) == 0
        user = self._allowed(request, caller, first=first)
        _check(request.username, request.password, request.email)
        hashed = await self._passwords.hash(request.password)

        async def work(conn: Connection) -> None:
            if (await repository.count_accounts_alone(conn) == 0) != first:
                raise Forbidden(_SET_UP)
            if not await repository.add_account(conn, user, hashed):
                taken = "this user name is taken"
                raise Conflict(taken, fields=[FieldError(field="username", message=taken)])
            await append(conn, [told(user, "access.user_created")])

        await self._database.run(work)
        if first:
            self._setup_token.end()
        return user

    async def change_role(self, user_id: str, role: Role, caller: Principal) -> list[str]:
        """Give an account another role; the sessions whose tokens are good no more.

        Raises Forbidden, NotFound, Conflict when nobody would be administrator.
        """
        if not allows(caller.role, Permission.ACCESS_ADMIN):
            raise Forbidden("only administrators change roles")

        async def work(conn: Connection) -> list[str]:
            administrators = await repository.count_administrators_alone(conn)
            account = await repository.account(conn, user_id, locked=True)
            if account is None or not may_see(caller, account.user.tenant):
                raise NotFound("there is no such user")
            if account.user.role is role:
                return []
            if account.user.role is Role.ADMINISTRATOR and not account.disabled and administrators == 1:
                raise Conflict("this is the last administrator")
            await repository.change_account(conn, user_id, role=str(role))
            ended = await repository.session_ids(conn, user_id)
            await append(conn, [told(account.user, "access.role_changed", note=f"now {role}", priority=Priority.HIGH)])
            return ended

        return await self._database.run(work)

    async def change_password(self, old: str, new: str, caller: Principal) -> list[str]:
        """Store another password of the caller's own; every session of the account, all ended now.

        Raises ValidationFailed for a new password that will not do, Forbidden for a wrong old one.
        """
        _check(caller.username, new)
        account = await self._database.run(lambda conn: repository.account(conn, caller.user_id), read_only=True)
        if account is None or not (await self._passwords.compare(old, account.password_hash)).right:
            raise Forbidden("the old password is wrong")
        hashed = await self._passwords.hash(new)

        async def work(conn: Connection) -> list[str]:
            now = datetime.now(UTC)
            await repository.change_account(conn, caller.user_id, password_hash=hashed, password_changed_at=now)
            ended = await repository.revoke_all(conn, caller.user_id)
            await append(conn, [told(account.user, "access.password_changed", priority=Priority.HIGH)])
            return ended

        return await self._database.run(work)

    def _allowed(self, request: Register, caller: Principal | None, *, first: bool) -> User:
        """The account as it may be made. Raises Forbidden."""
        role, tenant = request.role, DEFAULT_TENANT
        if first:
            if not self._setup_token.fits(request.setup_token):
                raise Forbidden("the first account needs the setup token: read it from the server's data directory")
            role = Role.ADMINISTRATOR
        elif caller is not None and allows(caller.role, Permission.ACCESS_ADMIN):
            tenant = caller.tenant
        elif not self._open_registration:
            raise Forbidden(_SET_UP if request.setup_token else "accounts are made by an administrator here")
        elif role is not Role.VIEWER:
            raise Forbidden("only an administrator gives roles")
        return User(
            id=str(uuid.uuid4()),
            username=request.username,
            email=request.email,
            role=role,
            tenant=tenant,
            created_at=datetime.now(UTC),
        )


def told(user: User, kind: str, *, note: str = "", priority: Priority = Priority.NORMAL) -> EventDraft:
    """The event that something happened to an account: its name and no secret."""
    target = Target(type="user", id=user.id, name=user.username)
    return EventDraft(type=kind, source="access", target=target, tenant=user.tenant, priority=priority, note=note)


def _check(username: str, password: str, email: str = "") -> None:
    wrong = {
        "username": why_not_username(username),
        "password": passwords.why_not(password, username),
        "email": None if not email or _EMAIL.fullmatch(email) else "this is no e-mail address",
    }
    fields = [FieldError(field=field, message=why) for field, why in wrong.items() if why]
    if fields:
        raise ValidationFailed(fields[0].message, fields=fields)
