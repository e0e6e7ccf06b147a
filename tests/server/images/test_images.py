"""Uploads of images: streamed and verified, and a refused one leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest

from novacron_core import errors
from novacron_core.api import images, vms
from novacron_core.api.images import ImageQuery
from novacron_core.api.operations import OperationState
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_server.images import arrival
from novacron_server.images.service import Images
from tests.support.server import LiveServer
from tests.support.waiting import until


@pytest.fixture
def disk(tmp_path: Path) -> bytes:
    """A real qcow2 image of 8 MiB with some data."""
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", "write -P 3 0 3M", str(path)], check=True, stdout=subprocess.DEVNULL
    )
    return path.read_bytes()


async def pieces(data: bytes, size: int = 200_000) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


async def put(client: Client, name: str, data: bytes, **query: Any) -> images.Image:
    return await client.upload(images.PUT, pieces(data), len(data), query=ImageQuery(**query), name=name)


def remaining_files(server: LiveServer) -> set[str]:
    folder = server.data_dir / "images"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


async def test_uploaded_image_is_verified_and_used(server: LiveServer, disk: bytes) -> None:
    sha256 = hashlib.sha256(disk).hexdigest()
    image = await put(server.admin, "web", disk, sha256=sha256)
    assert (image.name, image.format, image.size_bytes, image.sha256, image.problem) == (
        "web", "qcow2", 8 << 20, sha256, "",
    )  # fmt: skip
    assert (server.data_dir / "images" / "web.qcow2").read_bytes() == disk
    assert (server.data_dir / "images" / "web.qcow2").stat().st_mode & 0o777 == 0o600
    operation = await server.admin.call(vms.CREATE, body=vms.VMCreate(name="a", image="web", memory_bytes=32 << 20))
    assert (await server.ended(operation)).state is OperationState.SUCCEEDED
    assert remaining_files(server) == {"web.qcow2"}


async def test_name_in_use_is_refused_unless_replaced(server: LiveServer, disk: bytes) -> None:
    await put(server.admin, "web", disk)
    with pytest.raises(errors.Conflict, match="An image named web already exists"):
        await put(server.admin, "web", disk)
    image = await put(server.admin, "web", bytes(1 << 20), format="raw", replace=True)
    assert (image.format, image.size_bytes) == ("raw", 1 << 20)
    assert remaining_files(server) == {"web.img"}
    both = await asyncio.gather(*(put(server.admin, "twice", disk) for _ in range(2)), return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in both) == ["Conflict", "Image"]


@pytest.mark.parametrize("replace", [False, True])
async def test_concurrent_uploads_in_two_formats_leave_one_image(tmp_path: Path, disk: bytes, replace: bool) -> None:
    """Both uploads pass the check of the name before either has it."""
    both = asyncio.Barrier(2)

    async def slowly(data: bytes) -> AsyncIterator[bytes]:
        await both.wait()
        yield data

    store = Images(tmp_path / "images")
    contents: dict[Literal["qcow2", "raw"], bytes] = {"qcow2": disk, "raw": bytes(1 << 20)}
    answers = await asyncio.gather(
        *(
            store.put("web", ImageQuery(format=kind, replace=replace), slowly(data), len(data))
            for kind, data in contents.items()
        ),
        return_exceptions=True,
    )
    assert [image.name for image in await store.list() if image.source == "images directory"] == ["web"]
    refused = [answer for answer in answers if not isinstance(answer, images.Image)]
    assert replace or [type(answer) for answer in refused] == [errors.Conflict]


@pytest.mark.parametrize("name", ["..", "../../x", "a/b", "A", ".hidden", "x" * 64, "a\x00b", "é"])
async def test_name_that_is_a_path_is_not_found(server: LiveServer, disk: bytes, name: str) -> None:
    with pytest.raises((errors.NotFound, errors.MethodNotAllowed, errors.InvalidArgument, errors.ServerUnreachable)):
        await put(server.admin, name, disk)
    assert remaining_files(server) == set()
    assert not list(server.data_dir.rglob("*.qcow2"))


def write_hostile_images(folder: Path) -> dict[str, bytes]:
    made = {"garbage": b"this is no image" * 1000, "nothing but a head": b"QFI\xfb" + bytes(600)}
    for name, options in {
        "leaning": ["-u", "-b", "/etc/passwd", "-F", "raw"],
        "leaning on json": ["-u", "-b", 'json:{"driver":"file","filename":"/etc/passwd"}', "-F", "raw"],
        "data elsewhere": ["-o", f"data_file={folder}/data.raw,data_file_raw=on"],
    }.items():
        path = folder / "hostile.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), "1M"], check=True)
        made[name] = path.read_bytes()
        path.unlink()
    return made


async def test_invalid_image_or_one_with_a_backing_file_is_refused_and_leaves_nothing(
    server: LiveServer, tmp_path: Path
) -> None:
    for kind, data in write_hostile_images(tmp_path).items():
        with pytest.raises(errors.InvalidArgument, match="evil") as refused:
            await put(server.admin, "evil", data)
        assert str(server.data_dir) not in refused.value.detail, kind
        assert ".arriving" not in refused.value.detail
        assert remaining_files(server) == set(), kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"QFI\xfb\0\0\0\3", "qcow2"),
        (b'# Disk DescriptorFile\nversion=1\nCID=1\nRW 2048 FLAT "/etc/shadow" 0\n', "VMDK"),
        (b"KDMV\1\0\0\0", "VMDK"),
    ],
)
async def test_image_of_another_format_sent_as_raw_is_refused(server: LiveServer, head: bytes, kind: str) -> None:
    for image_format in ("raw", "qcow2"):
        with pytest.raises(errors.InvalidArgument, match="evil") as refused:
            await put(server.admin, "evil", head.ljust(1 << 20, b"\0"), format=image_format)
        assert image_format == "qcow2" or f"is a {kind} image" in refused.value.detail
    assert remaining_files(server) == set()


async def test_stalled_upload_is_aborted(server: LiveServer, disk: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "_TIMEOUT_S", 0.2)
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(_head(server, len(disk)) + disk[: len(disk) // 2])
    assert b"400" in await reader.readline()
    assert b"no data for a minute" in await reader.readuntil(b"}")
    assert remaining_files(server) == set()
    writer.close()


async def test_wrong_checksum_or_length_is_refused(server: LiveServer, disk: bytes) -> None:
    with pytest.raises(errors.ValidationFailed, match="checksum"):
        await put(server.admin, "web", disk, sha256="0" * 64)
    with pytest.raises(errors.ValidationFailed, match="sha256"):
        await put(server.admin, "web", disk, sha256="short")
    with pytest.raises(errors.InvalidArgument, match="image is empty"):
        await put(server.admin, "web", b"")
    assert remaining_files(server) == set()


def _head(server: LiveServer, length: int) -> bytes:
    return (
        f"PUT /api/storage/images/web HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        f"Authorization: Bearer {server.admin.credentials.token}\r\n\r\n"
    ).encode()


async def test_aborted_upload_leaves_nothing(server: LiveServer, disk: bytes) -> None:
    address = urlsplit(server.url)
    line = socket.create_connection((address.hostname, address.port))
    line.sendall(_head(server, len(disk)) + disk[: len(disk) // 2])

    async def arriving() -> bool | None:
        return True if any(name.startswith(".arriving") for name in remaining_files(server)) else None

    async def draft_removed() -> bool | None:
        return None if remaining_files(server) else True

    await until(arriving)
    line.close()
    await until(draft_removed)


async def test_too_large_image_is_refused_by_its_length_and_by_its_bytes(
    server: LiveServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.parts.images, "_max_bytes", 100_000)
    with pytest.raises(errors.TooLarge):
        await put(server.admin, "web", disk)
    headers = {"Authorization": f"Bearer {server.admin.credentials.token}"}
    async with httpx.AsyncClient(headers=headers) as http:  # without a length, in chunks
        answer = await http.put(f"{server.url}/api/storage/images/web", content=pieces(disk))
    assert answer.status_code == 413
    assert remaining_files(server) == set()


async def test_upload_to_a_full_disk_leaves_nothing(
    server: LiveServer, disk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "_MIN_FREE_BYTES", 1 << 60)
    with pytest.raises(errors.Conflict, match="Not enough disk space"):
        await put(server.admin, "web", disk)
    assert remaining_files(server) == set()


async def test_only_administrators_upload_and_delete_images(server: LiveServer, disk: bytes) -> None:
    await put(server.admin, "web", disk)
    bob = await server.member("bob", Role.OPERATOR)
    with pytest.raises(errors.Forbidden):
        await put(bob, "other", disk)
    with pytest.raises(errors.Forbidden):
        await bob.call(images.DELETE, name="web")
    await bob.close()
    await server.admin.call(images.DELETE, name="web")
    assert remaining_files(server) == set()
    with pytest.raises(errors.NotFound):
        await server.admin.call(images.DELETE, name="web")
    with pytest.raises(errors.Conflict, match="demo extra"):
        await server.admin.call(images.DELETE, name="alpine")


def test_partial_upload_of_a_killed_server_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".arriving-0123456789abcdef.part").write_bytes(b"half")
    (tmp_path / "web.img").write_bytes(bytes(512))
    Images(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["web.img"]
