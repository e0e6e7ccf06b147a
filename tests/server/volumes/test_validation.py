"""Sizes that are none and names that would be paths: each is refused with its field, and nothing is written."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from novacron_core import errors
from novacron_core.api import volumes
from novacron_core.api.volumes import VolumeClone, VolumeCreate
from tests.support.server import LiveServer

MIB = 1 << 20


NO_SIZES = [
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


@pytest.mark.parametrize("size", NO_SIZES)
async def test_sizes_that_are_none_are_refused_with_the_field(server: LiveServer, size: Any) -> None:
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


NO_NAMES = [
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
"""The last ones: a letter of full width that folds to `a`, and one that turns the text around."""


@pytest.mark.parametrize("name", NO_NAMES, ids=lambda name: ascii(name[:12]))
async def test_names_that_would_be_paths_are_refused(server: LiveServer, name: str) -> None:
    with pytest.raises(errors.ValidationFailed, match="name"):
        await server.admin.call(volumes.CREATE, body=VolumeCreate(name=name, size_bytes=MIB))
    with pytest.raises(errors.ValidationFailed, match="name"):
        await server.admin.call(volumes.CLONE, body=VolumeClone(name=name), volume_id="none")
    if name not in ("", ".", "..") and len(name) < 100:  # such an address is another
        with pytest.raises(
            (errors.NotFound, errors.InvalidArgument, errors.MethodNotAllowed, errors.ServerUnreachable)
        ):
            await server.admin.call(volumes.GET, volume_id=name)
    assert server.parts.inventory.state.storage.volume_rows == {}
