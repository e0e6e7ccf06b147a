"""The SQL of accounts, sessions, refresh tokens and failed sign-ins."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Row, and_, case, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.access import User
from novacron_core.values.roles import Role
from novacron_server.access import backoff
from novacron_server.database.tables import login_failures as f
from novacron_server.database.tables import refresh_tokens as r
from novacron_server.database.tables import sessions as s
from novacron_server.database.tables import settings, users

REPEAT_S = 20
"""Seconds in which a refresh may be repeated: a client that lost the answer, or consoles that refresh at once."""

_CLOCK_TOLERANCE = timedelta(minutes=1)


class Use(enum.Enum):
    """How a refresh token is used: for the first time, again within REPEAT_S, or again later, which is theft."""

    FIRST = "first"
    REPEATED = "repeated"
    REUSED = "reused"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `users`, with the columns that never leave the server."""

    user: User
    password_hash: str
    disabled: bool
    epoch: int


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session with the current state of its account."""

    id: str
    account: Account
    expires_at: datetime
    revoked: bool

    def live(self, now: datetime) -> bool:
        return not self.revoked and not self.account.disabled and now < self.expires_at


# -- accounts ------------------------------------------------------------------------------------------------------------


async def lock_and_count_accounts(conn: AsyncConnection) -> int:
    """The number of accounts; a lock keeps others from creating one before this transaction ends."""
    await conn.execute(select(settings.c.key).where(settings.c.key == "instance").with_for_update())
    return await count_accounts(conn)


async def count_accounts(conn: AsyncConnection) -> int:
    return int((await conn.execute(select(func.count()).select_from(users))).scalar_one())


async def add_account(conn: AsyncConnection, user: User, password_hash: str) -> bool:
    """Insert an account; False when the name is taken."""
    row = insert(users).values(
        id=user.id,
        username=user.username,
        email=user.email,
        password_hash=password_hash,
        role=str(user.role),
        tenant=user.tenant,
        created_at=user.created_at,
    )
    found = await conn.execute(row.on_conflict_do_nothing(index_elements=[users.c.username]).returning(users.c.id))
    return found.first() is not None


async def find_account_by_name(conn: AsyncConnection, username: str) -> Account | None:
    row = (await conn.execute(select(users).where(users.c.username == username))).first()
    return _account(row) if row else None


async def find_account(conn: AsyncConnection, user_id: str, *, locked: bool = False) -> Account | None:
    query = select(users).where(users.c.id == user_id)
    row = (await conn.execute(query.with_for_update() if locked else query)).first()
    return _account(row) if row else None


async def lock_and_count_administrators(conn: AsyncConnection) -> int:
    """The number of enabled administrators; row locks keep others from changing one before this transaction ends."""
    query = select(users.c.id).where(users.c.role == str(Role.ADMINISTRATOR), users.c.disabled.is_(False))
    return len((await conn.execute(query.order_by(users.c.id).with_for_update())).all())


async def update_account(conn: AsyncConnection, user_id: str, *, ends_tokens: bool = True, **values: Any) -> None:
    """Store new values; with `ends_tokens` every access token of the account becomes invalid."""
    epoch = {"token_epoch": users.c.token_epoch + 1} if ends_tokens else {}
    await conn.execute(update(users).where(users.c.id == user_id).values(**values, **epoch))


# -- sessions ------------------------------------------------------------------------------------------------------------


async def add_session(
    conn: AsyncConnection, *, session_id: str, user_id: str, expires_at: datetime, user_agent: str, address: str
) -> None:
    row = {"id": session_id, "user_id": user_id, "expires_at": expires_at, "user_agent": user_agent, "address": address}
    await conn.execute(insert(s).values(**row))


async def find_sessions(conn: AsyncConnection, ids: Iterable[str]) -> list[StoredSession]:
    """The sessions with these ids, as far as they exist."""
    return [_session(row) for row in await conn.execute(_SESSIONS.where(s.c.id.in_(list(ids))))]


async def revoke_session(conn: AsyncConnection, session_id: str) -> bool:
    """End a session; False when it had already ended."""
    ended = update(s).where(s.c.id == session_id, s.c.revoked_at.is_(None)).values(revoked_at=func.now())
    return (await conn.execute(ended.returning(s.c.id))).first() is not None


async def revoke_all_sessions(conn: AsyncConnection, user_id: str) -> list[str]:
    """End every session of an account; returns their ids."""
    ended = update(s).where(s.c.user_id == user_id, s.c.revoked_at.is_(None)).values(revoked_at=func.now())
    return [row.id for row in await conn.execute(ended.returning(s.c.id))]


async def revoke_oldest_sessions(conn: AsyncConnection, user_id: str, kept: int) -> list[str]:
    """End the sessions of an account that were used longest ago, above a number; returns their ids."""
    live = [s.c.user_id == user_id, s.c.revoked_at.is_(None), s.c.expires_at > func.now()]
    oldest = select(s.c.id).where(*live).order_by(s.c.last_used_at.desc(), s.c.id).offset(kept)
    ended = update(s).where(s.c.id.in_(oldest)).values(revoked_at=func.now())
    return [row.id for row in await conn.execute(ended.returning(s.c.id))]


async def active_session_ids(conn: AsyncConnection, user_id: str) -> list[str]:
    """The ids of an account's sessions that have not ended."""
    query = select(s.c.id).where(s.c.user_id == user_id, s.c.revoked_at.is_(None), s.c.expires_at > func.now())
    return list((await conn.execute(query)).scalars())


async def prune(conn: AsyncConnection, before: datetime) -> None:
    """Delete sessions that ended before a time, with their refresh tokens, and old failed sign-ins."""
    await conn.execute(delete(s).where(s.c.expires_at < before))
    await conn.execute(delete(f).where(f.c.last_at < func.now() - backoff.FORGOTTEN_AFTER))
    kept = select(f.c.last_at).order_by(f.c.last_at.desc()).offset(backoff.MAX_ROWS).limit(1).scalar_subquery()
    await conn.execute(delete(f).where(f.c.last_at <= kept))


# -- refresh tokens ------------------------------------------------------------------------------------------------------


async def add_refresh_token(conn: AsyncConnection, token_hash: bytes, session_id: str) -> None:
    await conn.execute(insert(r).values(hash=token_hash, session_id=session_id))


async def use_refresh_token(conn: AsyncConnection, token_hash: bytes) -> tuple[str, Use] | None:
    """Mark a refresh token as used. Returns its session id and how it was used before; None for an unknown token."""
    since_use_s = func.extract("epoch", func.clock_timestamp() - r.c.used_at).label("since_use_s")
    row = (
        await conn.execute(select(r.c.session_id, since_use_s).where(r.c.hash == token_hash).with_for_update())
    ).first()
    if row is None:
        return None
    await conn.execute(update(s).where(s.c.id == row.session_id).values(last_used_at=func.now()))
    if row.since_use_s is None:
        await conn.execute(update(r).where(r.c.hash == token_hash).values(used_at=func.clock_timestamp()))
        return row.session_id, Use.FIRST
    return row.session_id, Use.REPEATED if row.since_use_s < REPEAT_S else Use.REUSED


async def has_refresh_token(conn: AsyncConnection, token_hash: bytes, session_id: str) -> bool:
    query = select(r.c.hash).where(r.c.hash == token_hash, r.c.session_id == session_id)
    return (await conn.execute(query)).first() is not None


# -- failed sign-ins -----------------------------------------------------------------------------------------------------


async def sign_in_addresses(conn: AsyncConnection, username: str) -> list[str]:
    """The addresses from which an account has signed in, as long as its sessions are kept."""
    query = select(s.c.address).distinct().select_from(s.join(users, users.c.id == s.c.user_id))
    return list((await conn.execute(query.where(users.c.username == username))).scalars())


async def claim_attempt(conn: AsyncConnection, account: str, address: str, *, known: bool) -> float:
    """Count an attempt before its password is checked, so that parallel attempts cannot bypass the limit.

    `known`: the account has signed in from this address before. Returns 0.0 when the attempt may proceed, else the
    seconds to wait; a refused attempt is not counted.
    """
    if known:
        return await _claim(conn, account, address, backoff.FREE, backoff.KNOWN_LONGEST_S)
    savepoint = await conn.begin_nested()
    wait_s = await _claim(conn, account, address, backoff.FREE, backoff.LONGEST_S)
    wait_s = wait_s or await _claim(conn, account, backoff.ALL, backoff.ALL_FREE, backoff.ALL_LONGEST_S)
    await (savepoint.rollback() if wait_s else savepoint.commit())
    return wait_s


async def _claim(conn: AsyncConnection, account: str, address: str, free: int, longest_s: float) -> float:
    now = func.clock_timestamp()  # not now(), the start of this transaction: it may have waited for a later one
    # A time that has yet to come was written while the clock was ahead.
    expired = or_(f.c.last_at < now - backoff.FORGOTTEN_AFTER, f.c.last_at > now + _CLOCK_TOLERANCE)
    first = insert(f).values(account=account, address=address, failures=1, last_at=now)
    wait = _wait(free, longest_s)
    claim = first.on_conflict_do_update(
        index_elements=[f.c.account, f.c.address],
        set_={"failures": case((expired, 1), else_=f.c.failures + 1), "last_at": now},
        where=or_(expired, f.c.last_at + wait <= now),
    )
    if (await conn.execute(claim.returning(f.c.failures))).first() is not None:
        return 0.0
    remaining = func.extract("epoch", f.c.last_at + wait - now)
    row = and_(f.c.account == account, f.c.address == address)
    return max(1.0, float((await conn.execute(select(remaining).where(row))).scalar_one()))


async def clear_failures(conn: AsyncConnection, account: str, address: str, *, known: bool) -> None:
    """Delete the failed attempts from an address after a successful sign-in, which is none of those from all of them."""
    await conn.execute(delete(f).where(f.c.account == account, f.c.address == address))
    if not known:
        everywhere = and_(f.c.account == account, f.c.address == backoff.ALL)
        await conn.execute(update(f).where(everywhere).values(failures=f.c.failures - 1))
        await conn.execute(delete(f).where(everywhere, f.c.failures <= 0))


def _wait(free: int, longest_s: float) -> ColumnElement[Any]:
    """`backoff.wait_s` as an SQL expression: the same delays, by number of failures."""
    longest = next(n for n in range(100) if backoff.wait_s(n, free, longest_s) == longest_s)
    waits = {n: timedelta(seconds=backoff.wait_s(n, free, longest_s)) for n in range(longest)}
    return case(
        *((f.c.failures == n, literal(wait)) for n, wait in waits.items()),
        else_=literal(timedelta(seconds=longest_s)),
    )


# -- rows ----------------------------------------------------------------------------------------------------------------

_SESSIONS = select(
    s.c.id.label("session_id"),
    s.c.expires_at,
    s.c.revoked_at,
    *users.c,
).select_from(s.join(users, users.c.id == s.c.user_id))


def _account(row: Row[Any]) -> Account:
    user = User(
        id=row.id,
        username=row.username,
        email=row.email,
        role=Role(row.role),
        tenant=row.tenant,
        created_at=row.created_at,
    )
    return Account(user=user, password_hash=row.password_hash, disabled=row.disabled, epoch=row.token_epoch)


def _session(row: Row[Any]) -> StoredSession:
    return StoredSession(
        id=row.session_id, account=_account(row), expires_at=row.expires_at, revoked=row.revoked_at is not None
    )
