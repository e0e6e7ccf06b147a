"""`session ls|end`, `token ls|create|revoke`: where one is signed in, and with which API tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from novacron_core import errors
from novacron_core.api import api_tokens, sessions
from novacron_core.api.api_tokens import ApiToken, CreateApiToken
from novacron_core.api.base import ListQuery
from novacron_core.client import Client
from novacron_core.values.ages import age_s, age_text
from novacron_core.values.names import why_not_vm_name
from novacron_core.values.roles import GRANTABLE, Permission, limits_words
from novacron_tui.cli.runtime.exit_codes import UsageError, print_error
from novacron_tui.cli.runtime.lookup import list_all
from novacron_tui.cli.runtime.output import Output, print_line, show_data, show_table
from novacron_tui.cli.runtime.proof import with_proof


async def session_ls(client: Client, output: Output, user_id: str) -> None:
    """List sessions, the oldest first; of the signed-in user by default."""
    if user_id:
        page = await client.call(sessions.LIST_OF_USER, query=ListQuery(page_size=1000), user_id=user_id)
        found = page.items
    else:
        found = await list_all(client, sessions.LIST, ListQuery())
    if output.is_data:
        show_data(output, found)
        return
    now = client.now()
    rows = (
        ("this one" if each.current else "", _ago(each.created_at, now), _ago(each.last_used_at, now), each.tenant,
         each.address, each.user_agent, each.id)
        for each in found
    )  # fmt: skip
    show_table(("", "BEGUN", "USED", "TENANT", "ADDRESS", "CLIENT", "ID"), rows)


async def session_end(client: Client, ids: Sequence[str], user_id: str) -> None:
    """End sessions, in order. Raises NotFound at the first that is none."""
    for session_id in ids:
        if user_id:
            await client.call(sessions.END_OF_USER, user_id=user_id, session_id=session_id)
        else:
            await client.call(sessions.END, session_id=session_id)
        print_line(f"Ended session {session_id}")


async def token_ls(client: Client, output: Output, *, every: bool) -> None:
    """List API tokens by name."""
    found = await list_all(client, api_tokens.LIST_ALL if every else api_tokens.LIST, ListQuery())
    if output.is_data:
        show_data(output, found)
        return
    now = client.now()
    rows = (
        (each.name, each.username, each.tenant, limits_words(each.permissions, each.filter), f"in {age_text((each.expires_at - now).total_seconds())}",
         _ago(each.last_used_at, now), each.last_address, each.id)
        for each in found
    )  # fmt: skip
    show_table(("NAME", "USER", "TENANT", "LIMITED TO", "EXPIRES", "USED", "FROM", "ID"), rows)


async def token_create(
    client: Client,
    output: Output,
    name: str,
    *,
    permissions: Sequence[str] | None,
    read_only: bool,
    vm_filter: str,
    days: int,
) -> None:
    """Create an API token; only the token itself goes to stdout. Raises UsageError, Conflict."""
    if refused := why_not_vm_name(name):
        raise UsageError(f"the name of the token: {refused}")
    if permissions and read_only:
        raise UsageError("give --read-only or --permission, not both")
    named = [_permission(text) for text in permissions] if permissions else None
    body = CreateApiToken(name=name, permissions=named, read_only=read_only, filter=vm_filter, expires_in_days=days)
    made = await with_proof(client, lambda: client.call(api_tokens.CREATE, body=body))
    if output.is_data:
        show_data(output, made)
        return
    print_line(made.token)
    print_error(f"created API token {name} for {days} days; it is not shown again")


async def token_revoke(client: Client, names: Sequence[str]) -> None:
    """Revoke API tokens; when one is unknown, none is revoked. Raises NotFound."""
    own = await list_all(client, api_tokens.LIST, ListQuery())
    for found in [_named(own, name) for name in names]:
        await client.call(api_tokens.REVOKE, token_id=found.id)
        print_line(f"Revoked API token {found.name}")


def _named(own: Sequence[ApiToken], name: str) -> ApiToken:
    found = next((each for each in own if name in (each.name, each.id)), None)
    if found is None:
        raise errors.NotFound(f"you have no API token {name}")
    return found


def _permission(text: str) -> Permission:
    if text not in {str(each) for each in GRANTABLE}:
        raise UsageError(f"--permission: {text} is none of {', '.join(sorted(GRANTABLE))}")
    return Permission(text)


def _ago(since: datetime | None, now: datetime) -> str:
    return f"{age_text(age_s(since, now))} ago" if since else "never"
