"""A bad boot file costs its image alone, and a directory that refuses or does not respond is told as such."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api.images import Image, ImageQuery
from novacron_server.file_calls import FileCalls
from novacron_server.images import arrival, service
from novacron_server.images.service import Images
from tests.support.dead_mounts import DeadMount


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for name in ("good", "web"):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path / f"{name}.qcow2"), "8M"], check=True)
        for suffix in ("kernel", "initrd", "cmdline"):
            (path / f"{name}.{suffix}").write_text("console=ttyS0")
    return path


async def listed(store: Images) -> dict[str, Image]:
    return {image.name: image for image in await store.list() if image.source == "images directory"}


async def data() -> AsyncIterator[bytes]:
    yield bytes(1 << 20)


async def put(store: Images, name: str = "new") -> Image:
    return await store.put(name, ImageQuery(format="raw"), data(), None)


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", ["kernel", "initrd", "cmdline"])
@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_link, "is a link that leads out of the images directory: put the file itself here"),
        (_loop, "is a link to no file: remove it, or put the file itself here"),
        (_pipe, "is not a regular file: remove it"),
        (_folder, "is a directory: put its images directly into the images directory"),
    ],
)
async def test_boot_file_that_would_be_no_image_costs_its_image(
    folder: Path, suffix: str, spoil: Callable[[Path], None], problem: str
) -> None:
    spoil(folder / f"web.{suffix}")
    store = Images(folder)
    images = await listed(store)
    assert images["web.qcow2"].problem == f"web.{suffix} {problem}"
    assert (images["good"].problem, images["good"].direct_boot) == ("", True)
    with pytest.raises(errors.InvalidArgument, match=f"web.{suffix} is"):
        await store.get("web")
    assert (await store.get("good")).cmdline == "console=ttyS0"


@pytest.mark.parametrize("suffix", ["kernel", "cmdline"])
async def test_boot_file_that_cannot_be_read_costs_its_image(
    folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    real = Path.open

    def refuse(path: Path, *arguments: str, **named: int) -> object:
        if path.name == f"web.{suffix}":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return real(path, *arguments, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    images = await listed(Images(folder))
    assert images["web.qcow2"].problem == f"web.{suffix} cannot be read by the server: Input/output error"
    assert images["good"].problem == ""


async def test_long_command_line_is_not_read_whole(folder: Path) -> None:
    with (folder / "web.cmdline").open("wb") as file:
        file.write(b"quiet ")
        file.truncate(1 << 40)
    assert (await Images(folder).get("web")).cmdline.startswith("quiet")


@pytest.mark.parametrize("suffix", ["kernel", "initrd", "cmdline"])
async def test_image_waits_for_its_boot_files(folder: Path, suffix: str) -> None:
    path, store = folder / f"web.{suffix}", Images(folder)
    with path.open("ab", buffering=0) as file:
        os.utime(path, (0, 0))  # by another machine's clock: its age says nothing
        file.write(b" and more")
        assert f"web.{suffix} is still being written" in (await listed(store))["web"].problem
    found = await store.get("web")
    assert not found.has_changed()
    path.write_text("other")
    assert found.has_changed(), "a VM would get a part of it"
    path.unlink()
    assert not found.has_changed()


async def test_growing_file_with_an_old_time_is_not_offered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "growing.raw"
    path.write_bytes(bytes(512))
    os.utime(path, (0, 0))

    async def next_piece(_seconds: float) -> None:
        with path.open("ab") as file:
            file.write(bytes(512))
        os.utime(path, (0, 0))

    monkeypatch.setattr("novacron_server.images.writers.asyncio.sleep", next_piece)
    assert "growing.raw is still being written" in (await listed(Images(folder)))["growing"].problem


def _refusing(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int) -> None:
    def refuse(path: object, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(owner, name, refuse)


async def test_refusals_of_the_directory_are_sentences(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Images(folder)
    with monkeypatch.context() as patch:
        _refusing(patch, Path, "unlink", errno.EPERM)
        with pytest.raises(
            errors.Conflict, match=r"no access to web\.qcow2 in its images directory: Operation not perm"
        ):
            await store.delete("web")
        (folder / ".arriving-left.part").touch()
        Images(folder)  # the sweep at the start is refused
    with monkeypatch.context() as patch:
        _refusing(patch, os, "open", errno.EROFS)
        with pytest.raises(errors.Conflict, match=f"cannot store images in {folder}: Read-only file system"):
            await put(store)
    with monkeypatch.context() as patch:
        _refusing(patch, os, "link", errno.EPERM)
        assert (await put(store, "without-links")).format == "raw"
    with monkeypatch.context() as patch:
        _refusing(patch, os, "fsync", errno.EIO)
        with pytest.raises(errors.Conflict, match=r"cannot store images in .*: Input/output error"):
            await put(store, "lost")
    assert [path.name for path in folder.glob(".*")] == [".arriving-left.part"], "what was refused leaves nothing"
    assert (await listed(store))["good"].problem == ""


async def test_images_directory_that_is_a_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "images").touch()
    store = Images(tmp_path / "images")
    with pytest.raises(errors.Conflict, match="no access to images in its images directory: Not a directory"):
        await store.list()
    with pytest.raises(errors.Conflict, match=r"Not a directory|File exists"):
        await put(store)


@pytest.mark.timeout(60)
async def test_copy_ends_when_the_images_directory_stops_responding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FILE_CALLS", FileCalls())
    monkeypatch.setattr(service, "CHANGE_LIMIT_S", 1.0)
    found = await Images(folder).get("web")
    mount = DeadMount(folder)
    mount.start()
    try:
        with pytest.raises(errors.Conflict, match="does not respond: is its file server down"):
            await asyncio.to_thread(found.has_changed)
    finally:
        mount.end()


@pytest.mark.timeout(60)
async def test_images_directory_that_does_not_respond_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = FileCalls()
    for module in (service, arrival):
        monkeypatch.setattr(module, "FILE_CALLS", calls)
        monkeypatch.setattr(module, "CHANGE_LIMIT_S", 1.0)
    mount = DeadMount(folder)
    mount.start()
    try:
        store = Images(folder)  # the sweep at the start hangs
        for refused in (store.list(), store.get("web"), store.delete("web"), put(store)):
            with pytest.raises(errors.Conflict, match=f"{folder} does not respond: is its file server down"):
                await refused
    finally:
        mount.end()
