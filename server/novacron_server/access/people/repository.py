"""The SQL of people. What changes an account or a membership is in `access.repository`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.access import Membership
from novacron_core.api.people import Person
from novacron_core.values.roles import Role
from novacron_server.database.tables import memberships as m
from novacron_server.database.tables import sessions as s
from novacron_server.database.tables import users


async def people(conn: AsyncConnection, tenant: str | None) -> list[Person]:
    """All accounts, or the members of a tenant with what they are and did there alone."""
    where = [] if tenant is None else [users.c.id.in_(select(m.c.user_id).where(m.c.tenant == tenant))]
    return await _people(conn, (await conn.execute(select(users).where(*where))).all(), where, tenant)


async def person(
    conn: AsyncConnection, user_id: str, *, tenant: str | None = None, locked: bool = False
) -> Person | None:
    """An account with all its memberships, or as a member of a tenant like `people`; `locked` until the end of the
    transaction."""
    where = [users.c.id == user_id]
    if tenant is not None:
        where.append(users.c.id.in_(select(m.c.user_id).where(m.c.tenant == tenant)))
    query = select(users).where(*where)
    rows = (await conn.execute(query.with_for_update() if locked else query)).all()
    return next(iter(await _people(conn, rows, where, tenant)), None)


async def tenant_sessions(conn: AsyncConnection, user_id: str, tenant: str) -> list[str]:
    """The ids of an account's sessions in a tenant that have not ended."""
    live = (s.c.revoked_at.is_(None), s.c.expires_at > func.now())
    query = select(s.c.id).where(s.c.user_id == user_id, s.c.tenant == tenant, *live)
    return list((await conn.execute(query)).scalars())


async def settle_sessions(conn: AsyncConnection, user_id: str) -> None:
    """Move the sessions that are in a tenant to which the account does not belong to where its sign-ins begin."""
    home = select(users.c.tenant).where(users.c.id == user_id).scalar_subquery()
    own = select(m.c.tenant).where(m.c.user_id == user_id)
    moved = update(s).where(s.c.user_id == user_id, s.c.tenant.not_in(own), home.is_not(None))
    await conn.execute(moved.values(tenant=home))


async def delete_account(conn: AsyncConnection, user_id: str) -> None:
    """Delete an account with its memberships, sessions and tokens."""
    await conn.execute(delete(users).where(users.c.id == user_id))


async def _people(
    conn: AsyncConnection, rows: Sequence[Row[Any]], where: Sequence[ColumnElement[bool]], tenant: str | None
) -> list[Person]:
    """The accounts of these rows, which `where` selects."""
    ids = select(users.c.id).where(*where)
    inside = [m.c.user_id.in_(ids), *([m.c.tenant == tenant] if tenant is not None else [])]
    member_of: dict[str, list[Membership]] = defaultdict(list)
    for row in await conn.execute(select(m).where(*inside).order_by(m.c.tenant)):
        member_of[row.user_id].append(Membership(tenant=row.tenant, role=Role(row.role)))
    there = [s.c.user_id.in_(ids), *([s.c.tenant == tenant] if tenant is not None else [])]
    seen = select(s.c.user_id, func.max(s.c.last_used_at).label("at")).where(*there).group_by(s.c.user_id)
    seen_at = {row.user_id: row.at for row in await conn.execute(seen)}
    return [_person(row, member_of[row.id], seen_at.get(row.id), tenant) for row in rows]


def _person(row: Row[Any], memberships: list[Membership], seen_at: Any, tenant: str | None) -> Person:
    shown = row.tenant if tenant is None else tenant
    role = next((each.role for each in memberships if each.tenant == shown), Role.VIEWER)
    return Person(
        id=row.id,
        username=row.username,
        email=row.email,
        role=Role.ADMINISTRATOR if row.administrator else role,
        tenant=shown or "",
        disabled=row.disabled,
        administrator=row.administrator,
        second_factor=row.totp_since is not None,
        memberships=memberships,
        created_at=row.created_at,
        last_seen_at=seen_at,
    )
