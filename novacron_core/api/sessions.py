"""Sessions: where an account is signed in."""

from __future__ import annotations

from novacron_core.api.base import ListQuery, Nothing, Page, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class AccountSession(Value, frozen=True):
    """A session that has not ended. `last_used_at` is when its tokens were last renewed, `expires_at` when it ends at
    the latest, `proved_at` when its user last gave the password in it; `current`: the one that asks."""

    id: str
    tenant: str
    created_at: Time
    last_used_at: Time
    expires_at: Time
    address: str = ""
    user_agent: str = ""
    current: bool = False
    proved_at: Time | None = None


LIST = endpoint("GET /auth/sessions", Page[AccountSession], P.SIGNED_IN, query=ListQuery, summary="List your sessions")
END = endpoint(
    "DELETE /auth/sessions/{session_id}", Nothing, P.SELF_CHANGE, status=204, summary="End one of your sessions"
)
LIST_OF_USER = endpoint(
    "GET /api/admin/users/{user_id}/sessions",
    Page[AccountSession],
    P.PEOPLE_CHANGE,
    query=ListQuery,
    summary="List the sessions of a user",
)
END_OF_USER = endpoint(
    "DELETE /api/admin/users/{user_id}/sessions/{session_id}",
    Nothing,
    P.PEOPLE_CHANGE,
    status=204,
    summary="End a session of a user",
)
