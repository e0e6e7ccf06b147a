"""Uploads that hardly move, and many at once, do not keep the server's descriptors and disk for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api.images import Image, ImageQuery
from novacron_server.images import arrival, service
from novacron_server.images.service import Images


def put(store: Images, name: str, stream: AsyncIterator[bytes]) -> asyncio.Task[Image]:
    return asyncio.create_task(store.put(name, ImageQuery(format="raw"), stream, None))


@pytest.mark.parametrize(("rate", "ends"), [(1, False), (1 << 30, True)], ids=["fast", "slow"])
async def test_upload_below_the_minimum_rate_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, ends: bool
) -> None:
    monkeypatch.setattr(arrival, "_MIN_RATE_BYTES_S", rate)
    monkeypatch.setattr(arrival, "_RATE_OVER_S", 0.1)
    sent = 0

    async def drops() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(40):
            await asyncio.sleep(0.01)
            sent += 1
            yield bytes(512)

    upload = put(Images(tmp_path / "images"), "slow", drops())
    if ends:
        with pytest.raises(errors.InvalidArgument, match="Upload aborted: less than"):
            await upload
        assert sent < 40
        assert list((tmp_path / "images").iterdir()) == []
    else:
        assert (await upload).size_bytes == 40 * 512


async def test_uploads_above_the_limit_are_refused_until_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_CONCURRENT_UPLOADS", 2)
    store, go = Images(tmp_path / "images"), asyncio.Event()
    begun: list[str] = []

    async def data(name: str) -> AsyncIterator[bytes]:
        begun.append(name)
        await go.wait()
        yield bytes(512)

    uploads = [put(store, name, data(name)) for name in ("a", "b")]
    while len(begun) < 2:
        await asyncio.sleep(0.01)
    with pytest.raises(errors.RateLimited, match="2 images are being uploaded: try again"):
        await put(store, "c", data("c"))
    uploads[0].cancel()
    await asyncio.wait(uploads[:1])
    go.set()
    assert (await put(store, "c", data("c"))).name == "c"
    assert (await uploads[1]).name == "b"
