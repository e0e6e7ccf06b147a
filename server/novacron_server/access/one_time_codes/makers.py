"""Whether a code still counts: who has made it must have the right to make it now."""

from __future__ import annotations

from novacron_core.values.roles import Permission, allows
from novacron_server.access import repository as accounts
from novacron_server.access.one_time_codes.repository import StoredCode
from novacron_server.database.transactions import Connection


async def still_may(conn: Connection, code: StoredCode, permission: Permission) -> bool:
    """Whether the maker's account is enabled and holds the permission in the tenant of the code."""
    maker = await accounts.find_account(conn, code.created_by, tenant=code.tenant)
    return maker is not None and maker.member and not maker.disabled and allows(maker.user.role, permission)
