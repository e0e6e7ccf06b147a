"""The first administrator of a test's server."""

from __future__ import annotations

from pathlib import Path

from novacron_core.api import access
from novacron_core.client import Client

PASSWORD = "quiet harbour seventeen lanterns"


async def administrator(url: str, data_dir: Path, username: str = "ann") -> str:
    """Register the first administrator of an empty server; returns an access token."""
    token = (data_dir / "setup-token").read_text().strip()
    async with Client(url) as client:
        await client.call(
            access.REGISTER, body=access.Register(username=username, password=PASSWORD, setup_token=token)
        )
        return (await client.sign_in(username, PASSWORD)).token
