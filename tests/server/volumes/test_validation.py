"""Invalid sizes and unsafe names are refused with their field, and nothing is written."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from novacron_core import errors
from novacron_core.api import volumes
from novacron_core.api.volumes import VolumeClone, VolumeCreate
from tests.support.server import LiveServer

MIB = 1 << 20


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def server(shared_server: LiveServer) -> LiveServer:
    return shared_server


INVALID_SIZES = [
    "0",
    "-1",
    str(10 << 60),
    "1",
    str(2**70),
    "NaN",
    "1e30",
    "1.5e6",
    '"10G"',
    '"1048576"',
    "true",
    "null",
    "[]",
]


@pytest.mark.parametrize("size", INVALID_SIZES)
async def test_invalid_size_is_refused_with_its_field(server: LiveServer, size: Any) -> None:
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(headers=headers) as http:
        for path, body in (
            ("", f'{{"name": "x", "size_bytes": {size}}}'),
            ("/none/resize", f'{{"size_bytes": {size}}}'),
        ):
            answer = await http.post(f"{server.url}/api/storage/volumes{path}", content=body)
            assert answer.status_code in (400, 422), path
            assert answer.status_code == 400 or answer.json()["errors"][0]["field"] == "size_bytes"
    assert server.parts.inventory.state.storage.volume_rows == {}


INVALID_NAMES = [
    "../x",
    "a/b",
    "",
    ".",
    "..",
    "A",
    "-x",
    "x" * 64,
    "x" * 100_000,
    "a\nb",
    "a\n",
    "a\0b",
    "é",
    "\uff41",
    "a\u202eb",
]
"""The last two: a full-width letter that folds to `a`, and a character that reverses the text direction."""


@pytest.mark.parametrize("name", INVALID_NAMES, ids=lambda name: ascii(name[:12]))
async def test_unsafe_name_is_refused(server: LiveServer, name: str) -> None:
    with pytest.raises(errors.ValidationFailed, match="name"):
        await server.admin.call(volumes.CREATE, body=VolumeCreate(name=name, size_bytes=MIB))
    with pytest.raises(errors.ValidationFailed, match="name"):
        await server.admin.call(volumes.CLONE, body=VolumeClone(name=name), volume_id="none")
    if name not in ("", ".", "..") and len(name) < 100:  # otherwise the URL is a different one
        with pytest.raises(
            (errors.NotFound, errors.InvalidArgument, errors.MethodNotAllowed, errors.ServerUnreachable)
        ):
            await server.admin.call(volumes.GET, volume_id=name)
    assert server.parts.inventory.state.storage.volume_rows == {}
