"""The upload form reads the file before it sends anything: what it is decides, and what is no image is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from novacron_core.api.images import Image
from novacron_tui.app import Console
from tests.support.console.looking import text, until
from tests.support.console.storage_looking import SIZE, reach
from tests.support.console.storage_world import storage, wire
from tests.support.console.wire import Wire, console, ok

QCOW2 = b"QFI\xfb\0\0\0\3"


def accepting() -> Wire:
    """A server that takes every upload under the name `noble`."""

    def answer(request: httpx.Request) -> httpx.Response:
        found = request.url.params.get("format", "qcow2")
        return ok(Image(name="noble", format=found, size_bytes=1 << 20, file_bytes=4096), 201)

    return wire(**{f"PUT /api/storage/images/{name}": answer for name in ("noble", "disk")})


async def open_form(pilot: Any, app: Console) -> Any:
    """Open the upload form. Returns its fields by name."""
    await reach(pilot, app)
    await pilot.press("i")
    await until(pilot, lambda: "Upload an image" in text(app))
    return app.screen.fields  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "content", "sent"),
    [("noble.img", QCOW2, "qcow2"), ("Noble.RAW", QCOW2, "qcow2"), ("disk.IMG", b"\xeb\x63", "raw")],
)
async def test_file_is_sent_as_what_it_contains(tmp_path: Path, name: str, content: bytes, sent: str) -> None:
    (tmp_path / name).write_bytes(content)
    server = accepting()
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        fields = await open_form(pilot, app)
        fields["file"].value = str(tmp_path / name)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Upload an image" not in text(app))
        (call,) = server.asked("PUT", name.split(".")[0].lower())
        assert call.url.params.get("format", "qcow2") == sent


@pytest.mark.parametrize(
    ("name", "content", "chosen", "says"),
    [
        ("disk.raw.xz", b"\xfd7zXZ\0", "-", "is compressed with xz: run `xz -d disk.raw.xz`"),
        ("disk.raw", b"KDMV", "raw", "is a VMDK image"),
        ("disk.img", QCOW2, "raw", "disk.img is a qcow2 image, not a raw one"),
        ("disk.qcow2", b"damaged", "-", "disk.qcow2 is not a qcow2 image"),
    ],
)
async def test_file_that_is_no_image_is_refused_and_nothing_is_sent(
    tmp_path: Path, name: str, content: bytes, chosen: str, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    server = accepting()
    app = console(server, storage())
    async with app.run_test(size=SIZE) as pilot:
        fields = await open_form(pilot, app)
        fields["file"].value, fields["name"].value, fields["format"].value = str(tmp_path / name), "disk", chosen
        await pilot.press("ctrl+s")
        await until(pilot, lambda: says in " ".join(text(app).split()))
        assert not server.asked("PUT", "disk")
