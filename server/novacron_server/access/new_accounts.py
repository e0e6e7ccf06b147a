"""What a new account or password must be, and the insertion of accounts: one rule for every way to get one."""

from __future__ import annotations

import re

from novacron_core.api.access import User
from novacron_core.api.problem import FieldError
from novacron_core.errors import Conflict, ValidationFailed
from novacron_core.values.names import why_not_username
from novacron_server.access import repository
from novacron_server.access.passwords import Passwords
from novacron_server.database.transactions import Connection

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+")


async def check_account(passwords: Passwords, username: str, password: str, email: str = "") -> None:
    """Raises ValidationFailed with every wrong field; RateLimited."""
    refuse(
        {
            "username": why_not_username(username),
            "password": await passwords.why_not(password, username),
            "email": why_not_email(email),
        }
    )


def why_not_email(email: str) -> str | None:
    """The sentence that refuses an e-mail address, None when it is valid or empty."""
    return None if not email or _EMAIL.fullmatch(email) else "This is not an e-mail address"


def refuse(wrong: dict[str, str | None]) -> None:
    """Raises ValidationFailed with the fields that have a sentence."""
    fields = [FieldError(field=field, message=why) for field, why in wrong.items() if why]
    if fields:
        raise ValidationFailed(fields[0].message, fields=fields)


MAX_MEMBERS = 1_000
"""Of a tenant: an owner makes accounts without asking an administrator, and each is a row and a password to hash."""


async def require_room(conn: Connection, tenant: str) -> None:
    """Raises Conflict for a tenant with MAX_MEMBERS; until the end of the transaction nobody else gets a place there.

    Accounts that were made in it and belong to no tenant any more count: who removes them has not deleted them.
    """
    if await repository.lock_and_count_members(conn, tenant) >= MAX_MEMBERS:
        raise Conflict(
            f"{tenant} has {MAX_MEMBERS:,} members, the most that a tenant may have. Removed ones count until an"
            " administrator deletes their accounts"
        )


async def insert_account(conn: Connection, user: User, password_hash: str) -> None:
    """Insert an account with its membership. Raises Conflict for a name that is taken: by an account, or by what a
    former user of this name still owns, which a new one must not inherit; and for a tenant with MAX_MEMBERS."""
    await require_room(conn, user.tenant)
    inherits = await repository.owns_anything(conn, user.username)
    if inherits or not await repository.add_account(conn, user, password_hash):
        taken = "This user name is taken. Choose another one."
        raise Conflict(taken, fields=[FieldError(field="username", message=taken)])
