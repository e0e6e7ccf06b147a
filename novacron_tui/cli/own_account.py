"""`novacron passwd` and `join`: the own password, and taking up an invitation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from novacron_core.api import access
from novacron_core.client import Client
from novacron_core.values.names import why_not_username
from novacron_tui.cli.runtime.connect import resolve_server
from novacron_tui.cli.runtime.exit_codes import UsageError
from novacron_tui.cli.runtime.output import cell, print_line
from novacron_tui.cli.runtime.prompts import new_password, secret
from novacron_tui.cli.sign_in import trusted
from novacron_tui.servers.profiles import Profiles
from novacron_tui.servers.server_choice import ServerChoice
from novacron_tui.servers.shared_credentials import SharedCredentials

_CODE = "Code: "
_NEW = "New password: "


async def change_password(client: Client) -> None:
    """Change the password of the session's account, whose sessions then end."""
    old = secret("Old password: ")
    body = access.PasswordChange(old=old, new=new_password(_NEW))
    await client.call(access.CHANGE_PASSWORD, body=body)
    if isinstance(client.credentials, SharedCredentials):
        await client.credentials.end()
    print_line("Password changed. Every session has ended: sign in again with `novacron login`")


def reset_password(choice: ServerChoice, username: str, certificate: str) -> None:
    """Set a new password with a one-time code."""

    async def reset(client: Client) -> None:
        body = access.PasswordReset(username=username, code=secret(_CODE), new_password=new_password(_NEW))
        await client.call(access.RESET_PASSWORD, body=body)
        print_line(f"Password of {cell(username)} changed. Sign in with `novacron login`")

    _without_session(choice, certificate, reset)


async def join(client: Client) -> None:
    """Add a membership to the session's account."""
    joined = await client.call(access.JOIN, body=access.Join(code=secret(_CODE)))
    print_line(f"You are {joined.role} of {joined.tenant} now. To work there: novacron tenant switch {joined.tenant}")


def create_account(choice: ServerChoice, username: str, email: str, certificate: str) -> None:
    """Create an account with the code of an invitation."""
    if refused := why_not_username(username):
        raise UsageError(refused)

    async def create(client: Client) -> None:
        code = secret(_CODE)
        body = access.AcceptInvitation(
            code=code, username=username, password=new_password(f"Password for {username}: "), email=email
        )
        user = (await client.call(access.ACCEPT_INVITATION, body=body)).user
        print_line(f"{user.username}: created as {user.role} of {user.tenant}. Sign in with `novacron login`")

    _without_session(choice, certificate, create)


def _without_session(choice: ServerChoice, certificate: str, work: Callable[[Client], Awaitable[None]]) -> None:
    """Do something on the chosen server as nobody. Raises UntrustedServer before anything secret is asked for."""
    target = resolve_server(choice, Profiles())

    async def run() -> None:
        profile = await trusted(target.profile, certificate)
        async with Client(profile.url, certificate=profile.certificate, verify=target.verify) as client:
            await work(client)

    asyncio.run(run())
