"""API tokens of a test's server."""

from __future__ import annotations

from typing import Any

from novacron_core.api import api_tokens as api
from novacron_core.client import Client, Credentials
from tests.support.server import LiveServer


async def create(owner: Client, name: str = "ci", **more: Any) -> api.CreatedApiToken:
    """A token of the signed-in user."""
    return await owner.call(api.CREATE, body=api.CreateApiToken(name=name, **more))


async def with_token(server: LiveServer, owner: Client, name: str = "ci", **more: Any) -> Client:
    """A client that uses a new token of the signed-in user."""
    return Client(server.url, Credentials((await create(owner, name, **more)).token))
