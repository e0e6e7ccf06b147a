"""The SQL of API tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.api_tokens import ApiToken
from novacron_core.values.roles import Permission, token_scope
from novacron_server.access.repository import StoredSession, account_of, select_accounts
from novacron_server.database.tables import api_tokens as t
from novacron_server.database.tables import users

_LIVE = (t.c.revoked_at.is_(None), t.c.expires_at > func.now())


class RevokedToken(NamedTuple):
    """`user_id` is that of its user; `tenant` is the one in which it acted."""

    user_id: str
    tenant: str
    name: str


class TokenLimits(NamedTuple):
    """`vm_filter` is empty for a token without a filter."""

    scope: frozenset[Permission]
    vm_filter: str


async def add(
    conn: AsyncConnection,
    *,
    token_id: str,
    user_id: str,
    tenant: str,
    name: str,
    fingerprint: bytes,
    permissions: list[str] | None,
    vm_filter: str,
    lifetime: timedelta,
) -> ApiToken | None:
    """Insert an API token; None when the user has a live one of this name."""
    same = (t.c.user_id == user_id, t.c.name == name, t.c.revoked_at.is_(None))
    await conn.execute(update(t).where(*same, t.c.expires_at <= func.now()).values(revoked_at=func.now()))
    row = insert(t).values(
        id=token_id,
        user_id=user_id,
        tenant=tenant,
        name=name,
        hash=fingerprint,
        permissions=permissions,
        vm_filter=vm_filter,
        expires_at=func.now() + lifetime,
    )
    free = row.on_conflict_do_nothing(index_elements=[t.c.user_id, t.c.name], index_where=t.c.revoked_at.is_(None))
    if (await conn.execute(free.returning(t.c.id))).first() is None:
        return None
    return _api_token((await conn.execute(_SELECT.where(t.c.id == token_id))).one())


async def count_live(conn: AsyncConnection, user_id: str) -> int:
    """How many live API tokens a user has; a lock on the user keeps others from adding one in the meantime."""
    await conn.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())
    query = select(func.count()).select_from(t).where(t.c.user_id == user_id, *_LIVE)
    return int((await conn.execute(query)).scalar_one())


async def live(conn: AsyncConnection, *, user_id: str | None = None, tenant: str | None = None) -> list[ApiToken]:
    """The API tokens that have neither expired nor been revoked, of a user, of a tenant or of all."""
    where = [*_LIVE, *([] if user_id is None else [t.c.user_id == user_id])]
    where += [] if tenant is None else [t.c.tenant == tenant]
    return [_api_token(row) for row in await conn.execute(_SELECT.where(*where))]


async def revoke(
    conn: AsyncConnection, token_id: str, *, user_id: str | None = None, tenant: str | None = None
) -> RevokedToken | None:
    """Revoke a live API token of a user, of a tenant or of anybody. None when there is no such token."""
    where = [t.c.id == token_id, *_LIVE, *([] if user_id is None else [t.c.user_id == user_id])]
    where += [] if tenant is None else [t.c.tenant == tenant]
    ended = update(t).where(*where).values(revoked_at=func.now()).returning(t.c.user_id, t.c.tenant, t.c.name)
    row = (await conn.execute(ended)).first()
    return RevokedToken(row.user_id, row.tenant, row.name) if row else None


async def find_id(conn: AsyncConnection, fingerprint: bytes) -> str | None:
    """The id of the token with this fingerprint."""
    return (await conn.execute(select(t.c.id).where(t.c.hash == fingerprint))).scalar_one_or_none()


async def find(conn: AsyncConnection, ids: Iterable[str]) -> list[StoredSession]:
    """The tokens with these ids, as far as they exist, each with the current state of its user's account."""
    return [_stored(row) for row in await conn.execute(_WITH_ACCOUNT.where(t.c.id.in_(list(ids))))]


async def limits_of(conn: AsyncConnection, token_id: str) -> TokenLimits | None:
    """What a live API token is limited to; None when it has ended."""
    row = (await conn.execute(select(t.c.vm_filter, t.c.permissions).where(t.c.id == token_id, *_LIVE))).first()
    return TokenLimits(token_scope(row.permissions, row.vm_filter), row.vm_filter) if row else None


async def note_uses(conn: AsyncConnection, uses: Mapping[str, tuple[datetime, str]]) -> None:
    """Store when and from where tokens were used last."""
    for token_id, (at, address) in uses.items():
        await conn.execute(update(t).where(t.c.id == token_id).values(last_used_at=at, last_address=address))


async def prune(conn: AsyncConnection, before: datetime) -> None:
    """Delete tokens that ended before a time."""
    await conn.execute(delete(t).where(or_(t.c.expires_at < before, t.c.revoked_at < before)))


_SELECT: Select[Any] = select(*t.c, users.c.username).select_from(t.join(users, users.c.id == t.c.user_id))
_WITH_ACCOUNT = select_accounts(
    t.join(users, users.c.id == t.c.user_id),
    t.c.tenant,
    t.c.id.label("token_id"),
    t.c.expires_at,
    t.c.revoked_at,
    t.c.permissions,
    t.c.name.label("token_name"),
    t.c.vm_filter,
)


def _api_token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        id=row.id,
        name=row.name,
        username=row.username,
        tenant=row.tenant,
        created_at=row.created_at,
        expires_at=row.expires_at,
        permissions=row.permissions,
        filter=row.vm_filter,
        last_used_at=row.last_used_at,
        last_address=row.last_address,
    )


def _stored(row: Row[Any]) -> StoredSession:
    return StoredSession(
        id=row.token_id,
        account=account_of(row),
        expires_at=row.expires_at,
        revoked=row.revoked_at is not None,
        token_scope=token_scope(row.permissions, row.vm_filter),
        token_name=row.token_name,
        vm_filter=row.vm_filter,
    )
