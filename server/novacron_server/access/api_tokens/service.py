"""Creates, lists and revokes API tokens."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta

from novacron_core.api.api_tokens import PREFIX, ApiToken, CreateApiToken, CreatedApiToken
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.events import Priority
from novacron_core.api.problem import FieldError
from novacron_core.errors import Conflict, NotFound, ValidationFailed
from novacron_core.rules.filters.language import FilterError
from novacron_core.rules.filters.vms import scope_test
from novacron_core.rules.visibility import Principal, why_not_permitted
from novacron_core.values.roles import ALWAYS_IN_SCOPE, GRANTABLE, OF_SOME_VMS, READ_ONLY
from novacron_server.access import repository as accounts
from novacron_server.access.accounts import account_event
from novacron_server.access.api_tokens import repository
from novacron_server.access.people.rights import RequireProof, refuse_own_token, seen_tenant
from novacron_server.access.tokens import fingerprint, opaque
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.paging import page_of
from novacron_server.outbox.repository import append

MAX_PER_USER = 100


class ApiTokens:
    """`ended` gets the ids of revoked tokens, after each commit with events."""

    def __init__(
        self,
        database: Database,
        *,
        require_proof: RequireProof,
        ended: Callable[[Iterable[str]], None],
    ) -> None:
        self._database = database
        self._require_proof = require_proof
        self._ended = ended

    async def own(self, caller: Principal, query: ListQuery) -> Page[ApiToken]:
        """The caller's tokens; for a token, those of its tenant. Raises ValidationFailed, DatabaseUnavailable."""
        tenant = caller.tenant if caller.token else None
        found = await self._database.run(
            lambda conn: repository.live(conn, user_id=caller.user_id, tenant=tenant), read_only=True
        )
        return page_of(found, query, text=_text)

    async def everybody(self, caller: Principal, query: ListQuery) -> Page[ApiToken]:
        """The tokens of the caller's tenant; an administrator's, those of all. Raises ValidationFailed."""
        found = await self._database.run(lambda conn: repository.live(conn, tenant=seen_tenant(caller)), read_only=True)
        return page_of(found, query, text=_text)

    async def create(self, caller: Principal, request: CreateApiToken) -> CreatedApiToken:
        """A token in the caller's tenant, with at most the caller's rights.

        Raises ValidationFailed, Conflict for a name that is taken or too many tokens, ReauthenticationRequired.
        """
        permissions, vm_filter = _permissions(caller, request), _filter(request)
        token = PREFIX + opaque()

        async def work(conn: Connection) -> ApiToken:
            await self._require_proof(conn, caller)
            if await repository.count_live(conn, caller.user_id) >= MAX_PER_USER:
                raise Conflict(f"You have {MAX_PER_USER} API tokens. Revoke one first.")
            made = await repository.add(
                conn,
                token_id=str(uuid.uuid4()),
                user_id=caller.user_id,
                tenant=caller.tenant,
                name=request.name,
                fingerprint=fingerprint(token),
                permissions=permissions,
                vm_filter=vm_filter,
                lifetime=timedelta(days=request.expires_in_days),
            )
            if made is None:
                taken = f"You already have an API token {request.name}. Revoke it, or choose another name."
                raise Conflict(taken, fields=[FieldError(field="name", message=taken)])
            name = f"{request.name}{_limit(vm_filter)}"
            await _record(conn, caller, caller.user_id, caller.tenant, "access.token_created", name)
            return made

        made = await self._database.run(work)
        self._ended([])
        return CreatedApiToken(token=token, api_token=made)

    async def revoke_own(self, caller: Principal, token_id: str) -> None:
        """Revoke one of the caller's tokens, with its sockets. Raises NotFound."""
        await self._revoke(caller, token_id, caller.user_id, None)

    async def revoke_any(self, caller: Principal, token_id: str) -> None:
        """Revoke a token that the caller sees in `everybody`. Raises NotFound; Forbidden for an API token of its user."""
        await self._revoke(caller, token_id, None, seen_tenant(caller))

    async def _revoke(self, caller: Principal, token_id: str, user_id: str | None, tenant: str | None) -> None:
        async def work(conn: Connection) -> None:
            revoked = await repository.revoke(conn, token_id, user_id=user_id, tenant=tenant)
            if revoked is None:
                raise NotFound("token not found")
            refuse_own_token(caller, revoked.user_id)
            await _record(conn, caller, revoked.user_id, revoked.tenant, "access.token_revoked", revoked.name)

        await self._database.run(work)
        self._ended([token_id])


async def _record(conn: Connection, caller: Principal, user_id: str, tenant: str, kind: str, name: str) -> None:
    """In the tenant of the token, where it acts: its user's sign-ins may begin in another one."""
    account = await accounts.find_account(conn, user_id, tenant=tenant)
    if account is not None:
        note = f"API token {name}"
        await append(conn, [account_event(account.user, kind, by=caller.username, note=note, priority=Priority.HIGH)])


def _permissions(caller: Principal, request: CreateApiToken) -> list[str] | None:
    """The permissions to store. Raises ValidationFailed for those that no token may have, or the caller has not."""
    if request.read_only and request.permissions is not None:
        raise _invalid("read_only", "give read_only or permissions, not both")
    if request.read_only:
        return sorted(READ_ONLY & GRANTABLE)
    if request.permissions is None:
        return None
    if not set(request.permissions) - ALWAYS_IN_SCOPE:
        raise _invalid("permissions", "name at least one permission")
    for permission in request.permissions:
        if permission not in GRANTABLE | ALWAYS_IN_SCOPE:
            raise _invalid("permissions", f"{permission} cannot be given to an API token")
        if why := why_not_permitted(caller, permission):
            raise _invalid("permissions", why)
        if request.filter and permission not in OF_SOME_VMS | ALWAYS_IN_SCOPE:
            raise _invalid("permissions", f"{permission} is not about VMs: a token with a filter cannot have it")
    return sorted(set(request.permissions))


def _filter(request: CreateApiToken) -> str:
    """The filter to store. Raises ValidationFailed for one that is not valid for a token."""
    text = request.filter.strip()
    try:
        scope_test(text)
    except FilterError as e:
        raise _invalid("filter", str(e)) from e
    return text


def _limit(vm_filter: str) -> str:
    return f", limited to {vm_filter}" if vm_filter else ""


def _invalid(field: str, message: str) -> ValidationFailed:
    return ValidationFailed(f"{field}: {message}", fields=[FieldError(field=field, message=message)])


def _text(token: ApiToken) -> str:
    return f"{token.name} {token.username} {token.tenant} {token.id}"
