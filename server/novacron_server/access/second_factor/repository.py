"""The SQL of second factors, and of when a session was last proved to be its user's."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_server.database.tables import recovery_codes as c
from novacron_server.database.tables import sessions as s
from novacron_server.database.tables import tenants, users


async def begin(conn: AsyncConnection, user_id: str, secret: str) -> None:
    """Store a secret that its user has yet to confirm."""
    values = {"totp_secret": secret, "totp_since": None, "totp_step": 0}
    await conn.execute(update(users).where(users.c.id == user_id).values(values))


async def turn_on(conn: AsyncConnection, user_id: str, step: int, recovery: Iterable[bytes]) -> None:
    """Require codes from now on, later than that of `step`; these are the fingerprints of the recovery codes."""
    await conn.execute(update(users).where(users.c.id == user_id).values(totp_since=func.now(), totp_step=step))
    await conn.execute(delete(c).where(c.c.user_id == user_id))
    await conn.execute(insert(c).values([{"user_id": user_id, "hash": each} for each in recovery]))


async def turn_off(conn: AsyncConnection, user_id: str) -> None:
    values = {"totp_secret": None, "totp_since": None, "totp_step": 0}
    await conn.execute(update(users).where(users.c.id == user_id).values(values))
    await conn.execute(delete(c).where(c.c.user_id == user_id))


async def use_step(conn: AsyncConnection, user_id: str, step: int) -> bool:
    """Use up the code of a time step; False when it, or a later one, was used already."""
    used = update(users).where(users.c.id == user_id, users.c.totp_step < step).values(totp_step=step)
    return (await conn.execute(used.returning(users.c.id))).first() is not None


async def use_recovery_code(conn: AsyncConnection, user_id: str, fingerprint: bytes) -> bool:
    """Use up a recovery code; False for one that is unknown or used."""
    mine = (c.c.user_id == user_id, c.c.hash == fingerprint, c.c.used_at.is_(None))
    used = update(c).where(*mine).values(used_at=func.now()).returning(c.c.user_id)
    return (await conn.execute(used)).first() is not None


async def recovery_codes_left(conn: AsyncConnection, user_id: str) -> int:
    query = select(func.count()).select_from(c).where(c.c.user_id == user_id, c.c.used_at.is_(None))
    return int((await conn.execute(query)).scalar_one())


async def since(conn: AsyncConnection, user_id: str) -> datetime | None:
    """Since when codes are required of an account, None when they are not."""
    return (await conn.execute(select(users.c.totp_since).where(users.c.id == user_id))).scalar_one_or_none()


async def is_required(conn: AsyncConnection, tenant: str) -> bool:
    """Whether a tenant requires a second factor."""
    query = select(tenants.c.totp_required).where(tenants.c.id == tenant)
    return bool((await conn.execute(query)).scalar_one_or_none())


async def note_proof(conn: AsyncConnection, session_id: str, lasts: timedelta) -> datetime:
    """Store that the session's user has proved who they are; returns until when that counts."""
    proved = update(s).where(s.c.id == session_id).values(proved_at=func.now()).returning(s.c.proved_at)
    proved_at: datetime = (await conn.execute(proved)).scalar_one()
    return proved_at + lasts


async def is_proved(conn: AsyncConnection, session_id: str, lasts: timedelta) -> bool | None:
    """Whether the session was proved lately; None when there is no such session."""
    query = select(s.c.proved_at > func.now() - lasts).where(s.c.id == session_id)
    return (await conn.execute(query)).scalar_one_or_none()
