"""Invitations: a one-time code that makes a new account, or one more membership of an account that exists."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from novacron_core import errors
from novacron_core.api.access import AcceptInvitation, Membership, User
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.api.people import Invitation, InvitationCreate, NewInvitation
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission, Role
from novacron_server.access import repository as accounts
from novacron_server.access.accounts import access_event, account_event
from novacron_server.access.attempts import Attempt, Attempts
from novacron_server.access.ids import parse_id
from novacron_server.access.new_accounts import check_account, insert_account, refuse, require_room, why_not_email
from novacron_server.access.one_time_codes import repository
from novacron_server.access.one_time_codes.code import hash_of, new_code
from novacron_server.access.one_time_codes.makers import still_may
from novacron_server.access.one_time_codes.repository import Kind, StoredCode
from novacron_server.access.passwords import Passwords
from novacron_server.access.people.rights import TENANT_NOT_FOUND, RequireProof, no_proof, require_tenant, seen_tenant
from novacron_server.access.people.service import check_role
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.paging import page_of
from novacron_server.outbox.records import EventDraft
from novacron_server.outbox.repository import append

MOST_OPEN = 100
"""Open invitations to a tenant."""
_WRONG = "This code is wrong, used up or expired. Ask for a new one."
_MISSING = "invitation not found"


class Invitations:
    """An owner invites to the tenant of his session, an administrator to any. `ended` is called after each commit,
    `require_proof` before an invitation is made."""

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

    async def page(self, principal: Principal, query: ListQuery) -> Page[Invitation]:
        """The newest first, unless `sort` says otherwise; every word of `q` must occur. Raises ValidationFailed for a sort
        field that invitations do not have."""
        found = await self._database.run(
            lambda conn: repository.invitations(conn, seen_tenant(principal)), read_only=True
        )
        query = query if query.sort else msgspec.structs.replace(query, sort="-created_at")
        return page_of(found, query, text=_text)

    async def create(self, principal: Principal, body: InvitationCreate) -> NewInvitation:
        """Raises ValidationFailed, NotFound for a tenant that the principal does not see, Conflict when too many are
        open."""
        tenant = require_tenant(principal, body.tenant)
        check_role(body.role)
        refuse({"email": why_not_email(body.email)})
        code, code_id = new_code(), str(uuid.uuid4())

        async def work(conn: Connection) -> Invitation:
            await self._require_proof(conn, principal)
            if not await repository.lock_tenant(conn, tenant):
                raise errors.NotFound(TENANT_NOT_FOUND)
            if await repository.count_open_invitations(conn, tenant) >= MOST_OPEN:
                raise errors.Conflict(f"{tenant} has {MOST_OPEN} open invitations. Revoke some of them first.")
            await repository.add(
                conn,
                code_id=code_id,
                kind=Kind.INVITATION,
                code_hash=hash_of(code),
                tenant=tenant,
                role=body.role,
                email=body.email,
                created_by=principal.user_id,
                lifetime=timedelta(hours=body.expires_in_hours),
            )
            made = await repository.invitation(conn, code_id)
            await append(conn, [_event(made, "access.invitation_created", principal)])
            return made

        invitation = await self._database.run(work)
        self._ended([])
        return NewInvitation(code=code, invitation=invitation)

    async def revoke(self, principal: Principal, invitation_id: str) -> None:
        """Raises NotFound for an invitation that is not open, and for that of a tenant that the principal does not
        see."""
        code_id = parse_id(invitation_id, _MISSING)

        async def work(conn: Connection) -> None:
            revoked = await repository.revoke(conn, code_id, seen_tenant(principal))
            if revoked is None:
                raise errors.NotFound(_MISSING)
            await append(conn, [_event(revoked, "access.invitation_revoked", principal)])

        await self._database.run(work)
        self._ended([])

    async def accept(self, body: AcceptInvitation, address: str) -> User:
        """Create an account. Raises ValidationFailed, RateLimited, Forbidden for a code that is not open, and Conflict
        for a name that is taken: then the code stays open."""
        await check_account(self._passwords, body.username, body.password, body.email)
        attempt = await self._claim(address)
        hashed = await self._passwords.hash(body.password)
        user_id = str(uuid.uuid4())

        async def work(conn: Connection) -> User:
            code, role = await self._use(conn, body.code, user_id, attempt)
            user = User(
                id=user_id,
                username=body.username,
                email=body.email or code.email,
                role=role,
                tenant=code.tenant,
                created_at=datetime.now(UTC),
            )
            await insert_account(conn, user, hashed)
            note = "took up an invitation"
            await append(
                conn, [account_event(user, "access.user_created", by=user.username, note=note, after=str(role))]
            )
            return user

        user = await self._database.run(work)
        self._ended([])
        return user

    async def join(self, principal: Principal, code: str, address: str) -> Membership:
        """Make the principal a member of one more tenant. Raises RateLimited, Forbidden for a code that is not open, and
        Conflict for a member of that tenant: then the code stays open."""
        attempt = await self._claim(address)

        async def work(conn: Connection) -> Membership:
            account = await accounts.find_account(conn, principal.user_id, locked=True)
            found, role = await self._use(conn, code, principal.user_id, attempt)
            if account is None:
                raise errors.Unauthenticated("This account no longer exists")
            if any(each.tenant == found.tenant for each in await accounts.memberships_of(conn, principal.user_id)):
                raise errors.Conflict(f"You are a member of {found.tenant} already")
            await require_room(conn, found.tenant)
            by, gains = principal.session_id, principal.role is not Role.ADMINISTRATOR
            await accounts.set_membership(
                conn, principal.user_id, found.tenant, role, gains_rights=gains, by_session=by
            )
            joined = account_event(
                account.user,
                "access.member_added",
                by=principal.username,
                tenant=found.tenant,
                note="took up an invitation",
                after=str(role),
                priority=Priority.HIGH,
            )
            await append(conn, [joined])
            return Membership(tenant=found.tenant, role=role)

        joined = await self._database.run(work)
        self._ended([])
        return joined

    async def _claim(self, address: str) -> Attempt:
        return await self._database.run(lambda conn: self._attempts.claim_code(conn, address))

    async def _use(self, conn: Connection, code: str, user_id: str, attempt: Attempt) -> tuple[StoredCode, Role]:
        """Use an invitation up. Raises Forbidden, with one sentence for every reason: also when who has made it may no
        longer invite to its tenant."""
        found = await repository.use(conn, Kind.INVITATION, hash_of(code), used_by=user_id)
        may = found is not None and await still_may(conn, found, Permission.PEOPLE_CHANGE)
        if found is None or found.role is None or not may:
            raise errors.Forbidden(_WRONG)
        await self._attempts.succeed(conn, attempt)
        return found, found.role


def _text(invitation: Invitation) -> str:
    words = (invitation.tenant, invitation.role, invitation.state, invitation.created_by, invitation.used_by)
    return " ".join((invitation.email, *map(str, words)))


def _event(invitation: Invitation, kind: str, principal: Principal) -> EventDraft:
    target = Target(type="invitation", id=invitation.id, name=invitation.email or str(invitation.role))
    return access_event(target, kind, by=principal.username, tenant=invitation.tenant, note=f"as {invitation.role}")
