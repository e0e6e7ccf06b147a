"""Creates accounts: the first with the setup token, later ones by administrators or by open registration."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from novacron_core.api.access import Register, User
from novacron_core.api.audit import AuditResult
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.errors import Forbidden
from novacron_core.rules.visibility import Principal, may
from novacron_core.values.names import DEFAULT_TENANT
from novacron_core.values.roles import Permission, Role
from novacron_server.access import repository
from novacron_server.access.new_accounts import check_account, insert_account
from novacron_server.access.passwords import Passwords
from novacron_server.access.setup_token import SetupToken
from novacron_server.access.warnings import warning
from novacron_server.audit.records import Actor, AuditDraft, acting, chain_of, event_action
from novacron_server.database.transactions import Connection, Database
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append

_SET_UP = "This server already has an administrator. Ask the administrator for an account."


class Accounts:
    """The rules of registration."""

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
        await check_account(self._passwords, request.username, request.password, request.email)
        hashed = await self._passwords.hash(request.password)

        async def work(conn: Connection) -> None:
            if (await repository.lock_and_count_accounts(conn) == 0) != first:
                raise Forbidden(_SET_UP)
            await insert_account(conn, user, hashed)
            by = caller.username if caller else user.username  # the first one, and those of open registration
            created = [account_event(user, "access.user_created", by=by)]
            if first:
                sentence = f"the setup token was used: {user.username} is the first administrator"
                created.append(warning(created[0].target, sentence, by=user.username))
            await append(conn, created)

        await self._database.run(work)
        if first:
            self._setup_token.end()
        return user

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


class Named(Protocol):
    """An account, for its events."""

    @property
    def id(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def tenant(self) -> str: ...


def account_event(
    account: Named,
    kind: str,
    *,
    by: str,
    tenant: str | None = None,
    note: str = "",
    before: str | None = None,
    after: str | None = None,
    priority: Priority = Priority.NORMAL,
) -> EventDraft:
    """An event about an account, in its tenant or the given one, with its entry in the audit log. It contains names and
    no secret.

    `by` is the name of who did it, empty for the server. The actor of the entry is the caller of the request in whose
    context this runs; for one who is not signed in, the account itself.
    """
    actor = acting()
    if not actor.id:
        role = str(getattr(account, "role", ""))
        actor = msgspec.structs.replace(actor, id=account.id, name=account.username, role=role)
    return access_event(
        Target(type="user", id=account.id, name=account.username),
        kind,
        by=by,
        tenant=(account.tenant if tenant is None else tenant) or None,
        note=note,
        before=before,
        after=after,
        priority=priority,
        actor=actor,
    )


def access_event(
    target: Target,
    kind: str,
    *,
    by: str,
    tenant: str | None,
    note: str = "",
    before: str | None = None,
    after: str | None = None,
    priority: Priority = Priority.NORMAL,
    actor: Actor | None = None,
) -> EventDraft:
    """An event about access, with its entry in the audit log. `actor` is the caller of the request in whose context this
    runs by default. Both contain names and no secret."""
    change = f"{before} -> {after}" if before and after else after or ""
    entry = AuditDraft(
        tenant=chain_of(tenant),
        action=event_action(kind),
        target=target,
        result=AuditResult.DONE,
        actor=actor or acting(),
        detail="; ".join(text for text in (note, change) if text),
    )
    return EventDraft(
        type=kind,
        source="access",
        target=target,
        tenant=tenant,
        priority=priority,
        note=note,
        before=before,
        after=after,
        actor=by,
        audit=entry,
    )
