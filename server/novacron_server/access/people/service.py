"""Lists, creates, changes and deletes accounts, and gives them roles in tenants."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from msgspec import UNSET

from novacron_core import errors
from novacron_core.api.access import User
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.events import Priority
from novacron_core.api.people import Person, PersonChange, PersonCreate
from novacron_core.api.problem import FieldError
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.people import person_fields
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import TENANT_ROLES, Permission, Role, gains_rights
from novacron_server.access import repository as accounts
from novacron_server.access.accounts import account_event
from novacron_server.access.ids import parse_id
from novacron_server.access.new_accounts import check_account, insert_account, refuse, require_room, why_not_email
from novacron_server.access.passwords import Passwords
from novacron_server.access.people import repository
from novacron_server.access.people.rights import (
    TENANT_NOT_FOUND,
    USER_NOT_FOUND,
    Disown,
    RequireProof,
    no_proof,
    no_things,
    require,
    require_account,
    require_seen,
    require_tenant,
    seen_tenant,
)
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.paging import page_of
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append


class People:
    """An owner sees and changes the members of the tenant of his session; everybody else is missing for him.

    `ended` gets the ids of the sessions whose tokens have just ended, after the commit of every change. `require_proof`
    is asked in its transaction. `disown` marks what a deleted account owns as that of a former user.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        ended: Callable[[Iterable[str]], None],
        require_proof: RequireProof = no_proof,
        disown: Disown = no_things,
    ) -> None:
        self._database = database
        self._disown = disown
        self._require_proof = require_proof
        self._passwords = passwords
        self._ended = ended

    # -- reading ---------------------------------------------------------------------------------------------------

    async def page(self, principal: Principal, query: ListQuery) -> Page[Person]:
        """Raises ValidationFailed for a filter or sort field that people do not have."""
        try:
            test = compile_filter(query.q, person_fields(lambda: datetime.now(UTC)))
        except FilterError as e:
            raise errors.ValidationFailed(f"q: {e}", fields=[FieldError(field="q", message=str(e))]) from e
        tenant = seen_tenant(principal)
        found = await self._database.run(lambda conn: repository.people(conn, tenant), read_only=True)
        return page_of(filter(test, found), query, default_sort="username")

    async def get(self, principal: Principal, user_id: str) -> Person:
        """Raises NotFound."""
        return await self._database.run(
            lambda conn: _view(conn, principal, parse_id(user_id, USER_NOT_FOUND)), read_only=True
        )

    # -- accounts --------------------------------------------------------------------------------------------------

    async def create(self, principal: Principal, body: PersonCreate) -> Person:
        """Create an account with a password. Raises ValidationFailed, NotFound for a tenant that the principal does not
        see, Forbidden for an administrator, Conflict for a name that is taken."""
        tenant = require_tenant(principal, body.tenant)
        if body.administrator:
            require(principal, Permission.ACCESS_ADMIN)
        check_role(body.role)
        await check_account(self._passwords, body.username, body.password, body.email)
        hashed = await self._passwords.hash(body.password)
        user = User(
            id=str(uuid.uuid4()),
            username=body.username,
            email=body.email,
            role=body.role,
            tenant=tenant,
            created_at=datetime.now(UTC),
        )

        async def work(conn: Connection) -> Person:
            await self._require_proof(conn, principal)
            await _require_tenant_row(conn, tenant)
            await insert_account(conn, user, hashed)
            if body.administrator:
                await accounts.update_account(conn, user.id, ends_tokens=False, administrator=True)
            role = Role.ADMINISTRATOR if body.administrator else body.role
            event = account_event(user, "access.user_created", by=principal.username, after=role)
            await append(conn, [event])
            return await _view(conn, principal, user.id)

        person = await self._database.run(work)
        self._ended([])
        return person

    async def change(self, principal: Principal, user_id: str, body: PersonChange) -> Person:
        """Change an account. Raises NotFound, Forbidden, ValidationFailed, and Conflict for the last administrator."""
        if body.email is not UNSET:
            refuse({"email": why_not_email(body.email)})

        async def work(conn: Connection) -> tuple[Person, list[str]]:
            await self._require_proof(conn, principal)
            administrators = await accounts.lock_and_count_administrators(conn)
            person = await self._find(conn, principal, user_id)
            if body.disabled is not UNSET or body.administrator is not UNSET:
                require(principal, Permission.ACCESS_ADMIN)
            change = _Change(conn, principal, person, administrators)
            if body.email is not UNSET and body.email != person.email:
                await change.email(body.email)
            if body.administrator is not UNSET and body.administrator != person.administrator:
                await change.administrator(body.administrator)
            if body.disabled is not UNSET and body.disabled != person.disabled:
                await change.disabled(body.disabled)
            await append(conn, change.events)
            return await _view(conn, principal, person.id), change.ended

        person, ended = await self._database.run(work)
        self._ended(ended)
        return person

    async def delete(self, principal: Principal, user_id: str) -> None:
        """Delete an account. Its VMs and volumes stay, as those of a former user.

        Raises NotFound, and Conflict for the last administrator.
        """
        require(principal, Permission.ACCESS_ADMIN)

        async def work(conn: Connection) -> list[str]:
            await self._require_proof(conn, principal)
            administrators = await accounts.lock_and_count_administrators(conn)
            person = await self._find(conn, principal, user_id)
            _keep_last(person, administrators)
            ended = await accounts.revoke_all_sessions(conn, person.id)
            deleted = _event(person, "access.user_deleted", principal, priority=Priority.HIGH)
            await repository.delete_account(conn, person.id)
            await append(conn, [deleted, *await self._disown(conn, person.username)])
            return ended

        self._ended(await self._database.run(work))

    # -- memberships -----------------------------------------------------------------------------------------------

    async def set_role(self, principal: Principal, tenant: str, user_id: str, role: Role) -> Person:
        """Give a person a role in a tenant. Only an administrator makes somebody a member without an invitation.

        A session there goes on with fewer rights. It ends when the role has more, as API tokens do: what was begun, or
        stolen, as a viewer never becomes an operator's. Nor does a session of before enter a tenant that is new to it.

        Raises NotFound, ValidationFailed for a role that no member has.
        """
        require_tenant(principal, tenant)
        check_role(role)

        async def work(conn: Connection) -> tuple[Person, list[str]]:
            await self._require_proof(conn, principal)
            await _require_tenant_row(conn, tenant)
            person = await self._find(conn, principal, user_id)
            before = next((each.role for each in person.memberships if each.tenant == tenant), None)
            if before is role:
                return await _view(conn, principal, person.id), []
            if before is None:
                await require_room(conn, tenant)
            gains = not person.administrator and (before is None or gains_rights(before, role))
            await accounts.set_membership(conn, person.id, tenant, role, gains_rights=gains)
            kind = "access.role_changed" if before else "access.member_added"
            event = _event(person, kind, principal, tenant=tenant, before=before, after=role, priority=Priority.HIGH)
            await append(conn, [event])
            if gains and before is not None:
                ended = await accounts.revoke_all_sessions(conn, person.id, tenant=tenant)
                ended += await accounts.revoke_api_tokens(conn, person.id, tenant)
            else:
                ended = await repository.tenant_sessions(conn, person.id, tenant)
            return await _view(conn, principal, person.id), ended

        person, ended = await self._database.run(work)
        self._ended(ended)
        return person

    async def remove_member(self, principal: Principal, tenant: str, user_id: str) -> None:
        """Remove a person from a tenant: the sessions there go on in another tenant of the person, or end.

        Raises NotFound, and Conflict for the only tenant of an administrator, who could no longer sign in.
        """
        require_tenant(principal, tenant)

        async def work(conn: Connection) -> list[str]:
            await self._require_proof(conn, principal)
            await _require_tenant_row(conn, tenant)
            person = await self._find(conn, principal, user_id)
            ended = await repository.tenant_sessions(conn, person.id, tenant)
            if person.administrator and [each.tenant for each in person.memberships] == [tenant]:
                raise errors.Conflict(
                    f"{person.username} is an administrator and belongs to no other tenant. Add {person.username} to"
                    " another tenant first."
                )
            if not await accounts.remove_membership(conn, person.id, tenant):
                raise errors.NotFound(USER_NOT_FOUND)
            event = _event(person, "access.member_removed", principal, tenant=tenant, priority=Priority.HIGH)
            await append(conn, [event])
            return ended

        self._ended(await self._database.run(work))

    async def _find(self, conn: Connection, principal: Principal, user_id: str) -> Person:
        return require_seen(principal, await repository.person(conn, parse_id(user_id, USER_NOT_FOUND), locked=True))


class _Change:
    """The parts of one change of an account, in one transaction."""

    def __init__(self, conn: Connection, principal: Principal, person: Person, administrators: int) -> None:
        self._conn = conn
        self._principal = principal
        self._person = person
        self._administrators = administrators
        self.events: list[EventDraft] = []
        self.ended: list[str] = []

    async def email(self, email: str) -> None:
        require_account(self._principal, self._person)
        await accounts.update_account(self._conn, self._person.id, ends_tokens=False, email=email)
        self._add("access.user_changed", note="e-mail address")

    async def administrator(self, administrator: bool) -> None:
        if administrator and not self._person.tenant:
            name = self._person.username
            raise errors.Conflict(f"{name} belongs to no tenant, and so cannot sign in. Add {name} to one first.")
        if not administrator:
            _keep_last(self._person, self._administrators)
        await accounts.update_account(self._conn, self._person.id, administrator=administrator)
        if administrator:  # with more rights somebody signs in again, and makes new API tokens
            self.ended += await accounts.revoke_all_sessions(self._conn, self._person.id)
            self.ended += await accounts.revoke_api_tokens(self._conn, self._person.id)
        else:
            own = {each.tenant for each in self._person.memberships}
            self.ended += await accounts.revoke_api_tokens(self._conn, self._person.id, kept=own)
            await repository.settle_sessions(self._conn, self._person.id)
            self.ended += await accounts.active_session_ids(self._conn, self._person.id)
        now = "administrator" if administrator else "no longer administrator"
        self._add("access.role_changed", note=f"now {now}", priority=Priority.HIGH)

    async def disabled(self, disabled: bool) -> None:
        if disabled:
            _keep_last(self._person, self._administrators)
            self.ended += await accounts.revoke_all_sessions(self._conn, self._person.id)
            self.ended += await accounts.revoke_api_tokens(self._conn, self._person.id)
        await accounts.update_account(self._conn, self._person.id, ends_tokens=disabled, disabled=disabled)
        kind = "access.user_disabled" if disabled else "access.user_enabled"
        self._add(kind, priority=Priority.HIGH)

    def _add(self, kind: str, *, note: str = "", priority: Priority = Priority.NORMAL) -> None:
        self.events.append(_event(self._person, kind, self._principal, note=note, priority=priority))


def check_role(role: Role) -> None:
    """Raises ValidationFailed for a role that no member of a tenant has."""
    if role not in TENANT_ROLES:
        refuse({"role": "A member of a tenant is owner, operator or viewer"})


def _keep_last(person: Person, administrators: int) -> None:
    """Raises Conflict when nobody else could administer this installation. `administrators` are those who can sign in,
    locked in this transaction."""
    if person.administrator and not person.disabled and administrators <= 1:
        raise errors.Conflict(
            f"{person.username} is the last administrator who can sign in. Make another user administrator first."
        )


async def _require_tenant_row(conn: Connection, tenant: str) -> None:
    if not await accounts.tenant_exists(conn, tenant):
        raise errors.NotFound(TENANT_NOT_FOUND)


def _event(
    person: Person,
    kind: str,
    principal: Principal,
    *,
    tenant: str | None = None,
    note: str = "",
    before: str | None = None,
    after: str | None = None,
    priority: Priority = Priority.NORMAL,
) -> EventDraft:
    return account_event(
        person, kind, by=principal.username, tenant=tenant, note=note, before=before, after=after, priority=priority
    )


async def _view(conn: Connection, principal: Principal, user_id: str) -> Person:
    """The person as the principal may see it: an owner learns nothing of other tenants. Raises NotFound."""
    return require_seen(principal, await repository.person(conn, user_id, tenant=seen_tenant(principal)))
