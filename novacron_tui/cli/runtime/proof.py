"""Asks for the password again where the server wants it for a change of access."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from novacron_core import errors
from novacron_core.api import access, second_factor
from novacron_core.api.endpoint import Endpoint
from novacron_core.client import Client
from novacron_tui.cli.runtime.prompts import secret

T = TypeVar("T")


async def with_proof(client: Client, change: Callable[[], Awaitable[T]]) -> T:
    """Do `change`; when the server asks who the user is, prompt for the password (and a code), prove it and do it
    again. Raises UsageError without input, Forbidden for a wrong password."""
    try:
        return await change()
    except errors.ReauthenticationRequired:
        name = (await client.call(access.VALIDATE)).user.username
        password = secret(f"Changing access needs your password again. Password for {name}: ", "the password")
        code = ""
        if (await client.call(second_factor.GET)).enabled:
            code = secret("Code of your authenticator app, or a recovery code: ", "the code").strip()
        await client.call(second_factor.PROVE, body=second_factor.Prove(password=password, totp=code))
        return await change()


async def call_proven(client: Client, endpoint: Endpoint[T, Any, Any], **more: Any) -> T:
    """Call an endpoint that changes access, as `with_proof`."""

    async def change() -> T:
        return await client.call(endpoint, **more)

    return await with_proof(client, change)
