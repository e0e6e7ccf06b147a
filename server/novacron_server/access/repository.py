"""The SQL of accounts, sessions, refresh tokens and failed sign-ins."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, case, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from novacron_core.api.access import Membership, User
from novacron_core.values.names import former_owner
from novacron_core.values.roles import SET_UP_ONLY, Permission, Role
from novacron_server.access import backoff
from novacron_server.database.tables import api_tokens as t
from novacron_server.database.tables import login_failures as f
from novacron_server.database.tables import memberships as m
from novacron_server.database.tables import refresh_tokens as r
from novacron_server.database.tables import sessions as s
from novacron_server.database.tables import settings, tenants, users, vms, volumes

REPEAT_S = 20
"""Seconds in which a refresh may be repeated: a client that lost the answer, or consoles that refresh at once."""

_CLOCK_TOLERANCE = timedelta(minutes=1)


class Use(enum.Enum):
    """How a refresh token is used: for the first time, again within REPEAT_S, or again later, which is theft."""

    FIRST = "first"
    REPEATED = "repeated"
    REUSED = "reused"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `users`, with the columns that never leave the server.

    `user.role` and `user.tenant` are those in one tenant: that of the session, else the one in which a sign-in begins.
    `member` is false for an account that is in no tenant, or no longer in this one, and is no administrator.
    `totp_on`: a sign-in needs a code of `totp_secret`, later than that of `totp_step`; a secret without it is being set
    up. `must_set_up`: the tenant requires a second factor, and the account has none.
    """

    user: User
    password_hash: str
    disabled: bool
    epoch: int
    administrator: bool
    member: bool
    totp_secret: str | None = None
    totp_on: bool = False
    totp_step: int = 0
    must_set_up: bool = False


class StoredSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session, or an API token, with the current state of its account. `token_scope` is that of an API token.

    `outdated`: its user's role in its tenant has got more rights since it began, so it may not be used there.
    """

    id: str
    account: Account
    expires_at: datetime
    revoked: bool
    outdated: bool = False
    last_used_at: datetime | None = None
    token_scope: frozenset[Permission] | None = None
    token_name: str = ""
    vm_filter: str = ""

    @property
    def scope(self) -> frozenset[Permission] | None:
        """To what the role of its user is limited now, None for no limit."""
        if not self.account.must_set_up:
            return self.token_scope
        return SET_UP_ONLY if self.token_scope is None else SET_UP_ONLY & self.token_scope

    def idle(self, now: datetime, longest: timedelta) -> bool:
        """Whether its tokens were not renewed for too long."""
        return self.last_used_at is not None and now - self.last_used_at >= longest

    def live(self, now: datetime) -> bool:
        usable = not self.revoked and not self.outdated and now < self.expires_at
        return usable and not self.account.disabled and self.account.member


# -- accounts ------------------------------------------------------------------------------------------------------------


async def lock_and_count_accounts(conn: AsyncConnection) -> int:
    """The number of accounts; a lock keeps others from creating one before this transaction ends."""
    await conn.execute(select(settings.c.key).where(settings.c.key == "instance").with_for_update())
    return await count_accounts(conn)


async def lock_and_count_members(conn: AsyncConnection, tenant: str) -> int:
    """The number of a tenant's members, and of the accounts made in it that belong to no tenant any more; a lock keeps
    others from adding one before this transaction ends."""
    await conn.execute(select(tenants.c.id).where(tenants.c.id == tenant).with_for_update(key_share=True))
    members = select(func.count()).select_from(m).where(m.c.tenant == tenant).scalar_subquery()
    left = select(func.count()).where(users.c.made_in == tenant, users.c.tenant.is_(None)).scalar_subquery()
    return int((await conn.execute(select(members + left))).scalar_one())


async def count_accounts(conn: AsyncConnection) -> int:
    return int((await conn.execute(select(func.count()).select_from(users))).scalar_one())


async def add_account(conn: AsyncConnection, user: User, password_hash: str) -> bool:
    """Insert an account and its membership of `user.tenant`; False when the name is taken.

    An administrator becomes an owner of the tenant.
    """
    row = insert(users).values(
        id=user.id,
        username=user.username,
        email=user.email,
        password_hash=password_hash,
        administrator=user.role is Role.ADMINISTRATOR,
        tenant=user.tenant,
        made_in=user.tenant,
        created_at=user.created_at,
    )
    found = await conn.execute(row.on_conflict_do_nothing(index_elements=[users.c.username]).returning(users.c.id))
    if found.first() is None:
        return False
    await set_membership(conn, user.id, user.tenant, Role.OWNER if user.role is Role.ADMINISTRATOR else user.role)
    return True


async def find_account_by_name(conn: AsyncConnection, username: str) -> Account | None:
    row = (await conn.execute(select_accounts(users, users.c.tenant).where(users.c.username == username))).first()
    return account_of(row) if row else None


async def find_users(conn: AsyncConnection, names: Iterable[str], ids: Iterable[str]) -> list[User]:
    """The accounts with these names or ids, each in the tenant in which a sign-in begins."""
    wanted = or_(users.c.username.in_(list(names)), users.c.id.in_(list(ids)))
    return [account_of(row).user for row in await conn.execute(select_accounts(users, users.c.tenant).where(wanted))]


async def find_account(
    conn: AsyncConnection, user_id: str, *, tenant: str | None = None, locked: bool = False
) -> Account | None:
    """The account with its role in a tenant, default: the tenant in which a sign-in begins."""
    in_tenant = users.c.tenant if tenant is None else literal(tenant)
    query = select_accounts(users, in_tenant).where(users.c.id == user_id)
    row = (await conn.execute(query.with_for_update(of=users) if locked else query)).first()
    return account_of(row) if row else None


async def is_member(conn: AsyncConnection, username: str, tenant: str) -> bool:
    """Whether an account of this name is enabled, and a member of the tenant. It cannot be deleted before the end of the
    transaction."""
    joined = select(m.c.role).join(users, users.c.id == m.c.user_id)
    found = joined.where(users.c.username == username, users.c.disabled.is_(False), m.c.tenant == tenant)
    return (await conn.execute(found.with_for_update(read=True, key_share=True, of=users))).first() is not None


async def owner_as_of(conn: AsyncConnection, username: str, at: datetime) -> str:
    """The owner to write for who had this name at a time: a later account of the same name is somebody else."""
    same = select(users.c.id).where(users.c.username == username, users.c.created_at <= at)
    return username if (await conn.execute(same)).first() is not None else former_owner(username)


async def owns_anything(conn: AsyncConnection, username: str) -> bool:
    """Whether a VM or volume names this user as its owner."""
    query = or_(*(select(each.c.id).where(each.c.owner == username).exists() for each in (vms, volumes)))
    return bool((await conn.execute(select(query))).scalar_one())


async def memberships_of(conn: AsyncConnection, user_id: str) -> list[Membership]:
    """The memberships of an account, by tenant."""
    rows = await conn.execute(select(m.c.tenant, m.c.role).where(m.c.user_id == user_id).order_by(m.c.tenant))
    return [Membership(tenant=row.tenant, role=Role(row.role)) for row in rows]


async def with_memberships(conn: AsyncConnection, user: User) -> User:
    """The account with all its memberships."""
    return msgspec.structs.replace(user, memberships=await memberships_of(conn, user.id))


async def tenant_exists(conn: AsyncConnection, tenant: str) -> bool:
    """Whether there is this tenant; it cannot be deleted before this transaction ends."""
    found = await conn.execute(
        select(tenants.c.id).where(tenants.c.id == tenant).with_for_update(key_share=True, read=True)
    )
    return found.first() is not None


def limited_user(account: Account, scope: frozenset[Permission] | None) -> User:
    """The account with what its session or API token is limited to."""
    return account.user if scope is None else msgspec.structs.replace(account.user, scope=sorted(scope))


async def set_membership(
    conn: AsyncConnection, user_id: str, tenant: str, role: Role, *, gains_rights: bool = False, by_session: str = ""
) -> None:
    """Make the account a member of a tenant with this role, or change its role in it.

    `gains_rights`: no session that has begun until now is usable in this tenant any more, also one that comes back to it, but
    `by_session`, which has brought an invitation.
    """
    gained = {"gained_at": func.clock_timestamp(), "gained_by": by_session or None} if gains_rights else {}
    changed = {"role": str(role), **gained}
    row = insert(m).values(user_id=user_id, tenant=tenant, **changed)
    await conn.execute(row.on_conflict_do_update(index_elements=[m.c.user_id, m.c.tenant], set_=changed))
    await conn.execute(update(users).where(users.c.id == user_id, users.c.tenant.is_(None)).values(tenant=tenant))


async def remove_membership(conn: AsyncConnection, user_id: str, tenant: str) -> bool:
    """Remove an account from a tenant; False when it was no member.

    Sessions in this tenant go on in the account's next one; without a next one they end. The account's API tokens for the
    tenant end: none of these is valid again when the account comes back.
    """
    gone = delete(m).where(m.c.user_id == user_id, m.c.tenant == tenant).returning(m.c.tenant)
    if (await conn.execute(gone)).first() is None:
        return False
    other = select(m.c.tenant).where(m.c.user_id == user_id).order_by(m.c.created_at, m.c.tenant).limit(1)
    following = (await conn.execute(other)).scalar_one_or_none()
    await conn.execute(update(users).where(users.c.id == user_id, users.c.tenant == tenant).values(tenant=following))
    await revoke_api_tokens(conn, user_id, tenant)
    if following is not None:
        await conn.execute(update(s).where(s.c.user_id == user_id, s.c.tenant == tenant).values(tenant=following))
    else:
        await revoke_all_sessions(conn, user_id)
    return True


async def revoke_api_tokens(
    conn: AsyncConnection, user_id: str, tenant: str | None = None, *, kept: Iterable[str] = ()
) -> list[str]:
    """Revoke the API tokens of an account, for one tenant or for all but those in `kept`; returns their ids."""
    where = [t.c.user_id == user_id, t.c.revoked_at.is_(None), *([] if tenant is None else [t.c.tenant == tenant])]
    where += [t.c.tenant.not_in(list(kept))]
    return [
        row.id for row in await conn.execute(update(t).where(*where).values(revoked_at=func.now()).returning(t.c.id))
    ]


async def lock_and_count_administrators(conn: AsyncConnection) -> int:
    """The number of administrators who can sign in: those that are enabled and belong to a tenant. Row locks keep others
    from changing one before this transaction ends."""
    query = select(users.c.id).where(users.c.administrator, users.c.disabled.is_(False), users.c.tenant.is_not(None))
    return len((await conn.execute(query.order_by(users.c.id).with_for_update())).all())


async def update_account(conn: AsyncConnection, user_id: str, *, ends_tokens: bool = True, **values: Any) -> None:
    """Store new values; with `ends_tokens` every access token of the account becomes invalid."""
    epoch = {"token_epoch": users.c.token_epoch + 1} if ends_tokens else {}
    await conn.execute(update(users).where(users.c.id == user_id).values(**values, **epoch))


# -- sessions ------------------------------------------------------------------------------------------------------------


async def add_session(
    conn: AsyncConnection,
    *,
    session_id: str,
    user_id: str,
    tenant: str,
    expires_at: datetime,
    user_agent: str,
    address: str,
) -> None:
    row = {"id": session_id, "user_id": user_id, "tenant": tenant, "expires_at": expires_at}
    await conn.execute(insert(s).values(**row, user_agent=user_agent, address=address))


async def find_sessions(conn: AsyncConnection, ids: Iterable[str]) -> list[StoredSession]:
    """The sessions with these ids, as far as they exist."""
    return [_session(row) for row in await conn.execute(_SESSIONS.where(s.c.id.in_(list(ids))))]


async def move_session(conn: AsyncConnection, session_id: str, tenant: str) -> None:
    """Go on with a session in another tenant."""
    await conn.execute(update(s).where(s.c.id == session_id, s.c.revoked_at.is_(None)).values(tenant=tenant))


async def revoke_session(conn: AsyncConnection, session_id: str) -> bool:
    """End a session; False when it had already ended."""
    ended = update(s).where(s.c.id == session_id, s.c.revoked_at.is_(None)).values(revoked_at=func.now())
    return (await conn.execute(ended.returning(s.c.id))).first() is not None


async def revoke_all_sessions(
    conn: AsyncConnection, user_id: str, *, tenant: str | None = None, but: str = ""
) -> list[str]:
    """End every session of an account, or those in a tenant, except the one with the id `but`; returns their ids."""
    live = [s.c.user_id == user_id, s.c.revoked_at.is_(None), *([] if tenant is None else [s.c.tenant == tenant])]
    ended = update(s).where(*live, *([s.c.id != but] if but else [])).values(revoked_at=func.now())
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
    if row.since_use_s is None:
        await conn.execute(update(r).where(r.c.hash == token_hash).values(used_at=func.clock_timestamp()))
        return row.session_id, Use.FIRST
    return row.session_id, Use.REPEATED if row.since_use_s < REPEAT_S else Use.REUSED


async def note_session_use(conn: AsyncConnection, session_id: str) -> None:
    await conn.execute(update(s).where(s.c.id == session_id).values(last_used_at=func.now()))


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


def select_accounts(origin: FromClause, tenant: ColumnElement[Any], *more: ColumnElement[Any]) -> Select[Any]:
    """The accounts of `origin`, which is `users` or joined with it, each with its role in a tenant: see `account_of`."""
    joined = origin.outerjoin(m, and_(m.c.user_id == users.c.id, m.c.tenant == tenant))
    columns = (*users.c, tenant.label("in_tenant"), m.c.role.label("member_role"), tenants.c.totp_required, *more)
    return select(*columns).select_from(joined.outerjoin(tenants, tenants.c.id == tenant))


def account_of(row: Row[Any]) -> Account:
    """The account of a row of `select_accounts`."""
    user = User(
        id=row.id,
        username=row.username,
        email=row.email,
        role=Role.ADMINISTRATOR if row.administrator else Role(row.member_role or Role.VIEWER),
        tenant=row.in_tenant or "",
        created_at=row.created_at,
    )
    on = row.totp_since is not None
    return Account(
        user=user,
        password_hash=row.password_hash,
        disabled=row.disabled,
        epoch=row.token_epoch,
        administrator=row.administrator,
        member=bool(row.in_tenant) and (row.administrator or row.member_role is not None),
        totp_secret=row.totp_secret,
        totp_on=on,
        totp_step=row.totp_step,
        must_set_up=bool(row.totp_required) and not on,
    )


_SESSIONS = select_accounts(
    s.join(users, users.c.id == s.c.user_id),
    s.c.tenant,
    s.c.id.label("session_id"),
    s.c.expires_at,
    s.c.revoked_at,
    s.c.last_used_at,
    func.coalesce((m.c.gained_at >= s.c.created_at) & m.c.gained_by.is_distinct_from(s.c.id), False).label("outdated"),
)


def _session(row: Row[Any]) -> StoredSession:
    return StoredSession(
        id=row.session_id,
        account=account_of(row),
        expires_at=row.expires_at,
        revoked=row.revoked_at is not None,
        outdated=row.outdated,
        last_used_at=row.last_used_at,
    )
