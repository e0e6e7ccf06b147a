"""API tokens: named, limited and expiring keys with which scripts act for a user."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import ListQuery, Nothing, Page, Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.names import VM_NAME_PATTERN
from novacron_core.values.roles import Permission as P

PREFIX = "nvt_"
"""What every API token begins with, so that people and scanners recognize a lost one."""
MAX_DAYS = 366


class ApiToken(Value, frozen=True):
    """An API token without its secret. `permissions` are those to which it is limited, None for all that it may have.

    What it may do now is never more than what its user may do in `tenant` now. `last_used_at` may be a minute old.
    `filter` limits it to the VMs that match, empty for no limit.
    """

    id: str
    name: str
    username: str
    tenant: str
    created_at: Time
    expires_at: Time
    permissions: list[str] | None = None
    filter: str = ""
    last_used_at: Time | None = None
    last_address: str = ""


class CreateApiToken(Request, frozen=True):
    """`permissions` or `read_only` limit the token; without them it may do what its user may, except for changes of
    their own account.

    `filter` limits it to the VMs that match: a filter of the VM list with the fields name, tag, owner and id. Other VMs
    and what is about no VM are missing for it, and no change takes a VM into the filter or out of it. A word matches the
    beginning of a tag: `tag:"ci"` is the tag ci alone.
    """

    name: Annotated[str, Meta(pattern=VM_NAME_PATTERN, max_length=63)]
    permissions: list[P] | None = None
    read_only: bool = False
    filter: Annotated[str, Meta(max_length=500)] = ""
    expires_in_days: Annotated[int, Meta(ge=1, le=MAX_DAYS)] = 90


class CreatedApiToken(Value, frozen=True):
    """`token` is shown this once; the server keeps only its fingerprint."""

    token: str
    api_token: ApiToken


LIST = endpoint("GET /auth/tokens", Page[ApiToken], P.SIGNED_IN, query=ListQuery, summary="List your API tokens")
CREATE = endpoint(
    "POST /auth/tokens",
    CreatedApiToken,
    P.SELF_CHANGE,
    takes=CreateApiToken,
    status=201,
    summary="Create an API token",
)
REVOKE = endpoint(
    "DELETE /auth/tokens/{token_id}", Nothing, P.SELF_CHANGE, status=204, summary="Revoke one of your API tokens"
)
LIST_ALL = endpoint(
    "GET /api/admin/tokens",
    Page[ApiToken],
    P.PEOPLE_READ,
    query=ListQuery,
    summary="List the API tokens of the tenant, or of all",
)
REVOKE_ANY = endpoint(
    "DELETE /api/admin/tokens/{token_id}",
    Nothing,
    P.PEOPLE_CHANGE,
    status=204,
    summary="Revoke an API token of the tenant, or of any",
)
