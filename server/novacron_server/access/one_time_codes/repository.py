"""The SQL of one-time codes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, Text, case, cast, delete, func, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.people import Invitation, InvitationState
from novacron_core.values.roles import Role
from novacron_server.database.tables import one_time_codes as c
from novacron_server.database.tables import tenants, users

KEPT = timedelta(days=30)
"""How long a code is listed after it has ended."""


class Kind(StrEnum):
    INVITATION = "invitation"
    PASSWORD_RESET = "password-reset"  # noqa: S105 - no password


class StoredCode(msgspec.Struct, frozen=True, kw_only=True):
    """A code that was just used. `created_by` is the id of an account; `tenant` is the one in which it had the right.

    An invitation has a `role`, a code for a password the `user_id` whose it is.
    """

    id: str
    tenant: str
    role: Role | None
    user_id: str | None
    email: str
    created_by: str


async def add(
    conn: AsyncConnection,
    *,
    code_id: str,
    kind: Kind,
    code_hash: bytes,
    tenant: str,
    created_by: str,
    lifetime: timedelta,
    role: Role | None = None,
    user_id: str | None = None,
    email: str = "",
) -> datetime:
    """Store a code, and forget those that ended long ago. Returns when it expires."""
    await conn.execute(delete(c).where(c.c.expires_at < func.now() - KEPT))
    row = insert(c).values(
        id=code_id,
        kind=kind,
        hash=code_hash,
        tenant=tenant,
        role=role and str(role),
        user_id=user_id,
        email=email,
        created_by=created_by,
        expires_at=func.now() + lifetime,
    )
    expires_at: datetime = (await conn.execute(row.returning(c.c.expires_at))).scalar_one()
    return expires_at


async def use(
    conn: AsyncConnection, kind: Kind, code_hash: bytes, *, used_by: str | None = None, username: str | None = None
) -> StoredCode | None:
    """Use a code up: of many at once, one gets it. None when it is unknown, used, revoked or expired, or is not for the
    account with this name."""
    where = [c.c.kind == kind, c.c.hash == code_hash, *_OPEN]
    if username is not None:
        where.append(c.c.user_id.in_(select(users.c.id).where(users.c.username == username)))
    used = update(c).where(*where).values(used_at=func.clock_timestamp(), used_by=used_by or "")
    row = (await conn.execute(used.returning(c))).first()
    return _stored(row) if row else None


async def revoke_of_account(conn: AsyncConnection, user_id: str) -> None:
    """Revoke the open codes that set the password of an account."""
    await conn.execute(update(c).where(c.c.user_id == user_id, *_OPEN).values(revoked_at=func.now()))


async def revoke(conn: AsyncConnection, code_id: str, tenant: str | None) -> Invitation | None:
    """Revoke an open invitation, of a tenant or of any; None when there is none."""
    where = [c.c.id == code_id, c.c.kind == Kind.INVITATION, *_OPEN, *_of(tenant)]
    revoked = update(c).where(*where).values(revoked_at=func.now()).returning(c.c.id)
    if (await conn.execute(revoked)).first() is None:
        return None
    return (await _invitations(conn, [c.c.id == code_id]))[0]


async def invitation(conn: AsyncConnection, code_id: str) -> Invitation:
    """An invitation that was just made."""
    return (await _invitations(conn, [c.c.id == code_id]))[0]


async def invitations(conn: AsyncConnection, tenant: str | None) -> list[Invitation]:
    """The invitations to a tenant or to all, as long as they are kept."""
    return await _invitations(conn, _of(tenant))


async def lock_tenant(conn: AsyncConnection, tenant: str) -> bool:
    """Whether there is this tenant. Nobody else counts or adds its invitations before the end of the transaction."""
    # Not the row's full lock: rows that name the tenant, written by others, need not wait for this transaction.
    query = select(tenants.c.id).where(tenants.c.id == tenant).with_for_update(key_share=True)
    return (await conn.execute(query)).first() is not None


async def count_open_invitations(conn: AsyncConnection, tenant: str) -> int:
    where = (c.c.kind == Kind.INVITATION, c.c.tenant == tenant, *_OPEN)
    return int((await conn.execute(select(func.count()).select_from(c).where(*where))).scalar_one())


# A code that has waited for another transaction must not count by the time at which its own began.
_OPEN: Sequence[ColumnElement[bool]] = (
    c.c.used_at.is_(None),
    c.c.revoked_at.is_(None),
    c.c.expires_at > func.clock_timestamp(),
)


def _of(tenant: str | None) -> list[ColumnElement[bool]]:
    return [] if tenant is None else [c.c.tenant == tenant]


async def _invitations(conn: AsyncConnection, where: Sequence[ColumnElement[bool]]) -> list[Invitation]:
    maker, taker = users.alias("maker"), users.alias("taker")
    state = case(
        (c.c.used_at.is_not(None), literal("used")),
        (c.c.revoked_at.is_not(None), literal("revoked")),
        (c.c.expires_at <= func.clock_timestamp(), literal("expired")),
        else_=literal("open"),
    )
    joined = c.outerjoin(maker, cast(maker.c.id, Text) == c.c.created_by).outerjoin(
        taker, cast(taker.c.id, Text) == c.c.used_by
    )
    query = select(c, state.label("state"), maker.c.username.label("maker"), taker.c.username.label("taker"))
    rows = await conn.execute(query.select_from(joined).where(c.c.kind == Kind.INVITATION, *where))
    return [
        Invitation(
            id=row.id,
            tenant=row.tenant,
            role=Role(row.role),
            state=InvitationState(row.state),
            created_by=row.maker or "",
            created_at=row.created_at,
            expires_at=row.expires_at,
            email=row.email,
            used_by=row.taker or "",
            used_at=row.used_at,
        )
        for row in rows
    ]


def _stored(row: Row[Any]) -> StoredCode:
    return StoredCode(
        id=row.id,
        tenant=row.tenant,
        role=Role(row.role) if row.role else None,
        user_id=row.user_id,
        email=row.email,
        created_by=row.created_by,
    )
