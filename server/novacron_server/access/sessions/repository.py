"""The SQL that lists the sessions of an account."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.sessions import AccountSession
from novacron_server.database.tables import sessions as s


async def live_sessions(
    conn: AsyncConnection, user_id: str, idle: timedelta, tenant: str | None = None
) -> list[AccountSession]:
    """The sessions of an account that have not ended, in one tenant or in all."""
    live = [s.c.revoked_at.is_(None), s.c.expires_at > func.now(), s.c.last_used_at > func.now() - idle]
    where = [s.c.user_id == user_id, *live, *([] if tenant is None else [s.c.tenant == tenant])]
    rows = await conn.execute(select(s).where(*where).order_by(s.c.created_at))
    return [
        AccountSession(
            id=row.id,
            tenant=row.tenant,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            address=row.address,
            user_agent=row.user_agent,
            proved_at=row.proved_at,
        )
        for row in rows
    ]
