"""Checks the second factor of an account, and uses up the code."""

from __future__ import annotations

from novacron_core.api.events import Priority
from novacron_server.access.accounts import account_event
from novacron_server.access.repository import Account
from novacron_server.access.second_factor import codes, repository
from novacron_server.database.transactions import Connection
from novacron_server.outbox.repository import append


async def use_code(conn: Connection, account: Account, code: str) -> bool:
    """Whether `code` is right now, and was not used before: a code of the app, or a recovery code. It is used up when
    this transaction commits."""
    if account.totp_secret is None:
        return False
    step = codes.step_of(account.totp_secret, codes.normal(code))
    if step is not None:
        return await repository.use_step(conn, account.user.id, step)
    recovery = codes.recovery_fingerprint(code)
    if recovery is None or not await repository.use_recovery_code(conn, account.user.id, recovery):
        return False
    left = await repository.recovery_codes_left(conn, account.user.id)
    note = f"a recovery code was used; {left} are left"
    await append(
        conn,
        [
            account_event(
                account.user, "access.recovery_code_used", by=account.user.username, note=note, priority=Priority.HIGH
            )
        ],
    )
    return True
