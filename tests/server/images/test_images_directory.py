"""What an operator puts into the images directory is listed: usable, or with the reason and what to do about it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api.images import Image
from novacron_server.images import inspection, service
from novacron_server.images.service import Images
from novacron_server.images.writers import is_being_written


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


def add(path: Path, *options: str, size: str = "8M") -> Path:
    """Make a qcow2 image that has been there for long."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)
    return settle(path)


def settle(path: Path) -> Path:
    os.utime(path, (0, 0), follow_symlinks=False)
    return path


async def listed(store: Images) -> dict[str, Image]:
    return {image.name: image for image in await store.list() if image.source == "images directory"}


async def test_format_is_that_of_the_content(folder: Path) -> None:
    for name in ("noble-server-cloudimg-amd64.img", "genericcloud.QCOW2", "cirros.RAW"):
        add(folder / name)
    (folder / "disk.IMG").write_bytes(bytes(1 << 20))
    images = await listed(Images(folder))
    assert {name: (image.format, image.size_bytes, image.problem) for name, image in images.items()} == {
        "noble-server-cloudimg-amd64": ("qcow2", 8 << 20, ""),
        "genericcloud": ("qcow2", 8 << 20, ""),
        "cirros": ("qcow2", 8 << 20, ""),
        "disk": ("raw", 1 << 20, ""),
    }
    assert (await Images(folder).get("cirros")).path == folder / "cirros.RAW"


async def test_every_file_is_listed_with_what_to_do_about_it(folder: Path, tmp_path: Path) -> None:
    disk = add(folder / "source.qcow2")
    for name in (
        "Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2",
        "with space.qcow2",
        f"{'x' * 70}.img",
        "qcow2-inside",
    ):
        add(folder / name)
    add(tmp_path / "outside.qcow2")
    (folder / "outside.qcow2").symlink_to(tmp_path / "outside.qcow2")
    (folder / "dangling.qcow2").symlink_to("nothing")
    (folder / "loop.qcow2").symlink_to("loop.qcow2")
    (folder / "linked.qcow2").symlink_to(disk.name)
    with tarfile.open(folder / "box.ova", "w") as archive:
        archive.addfile(tarfile.TarInfo("box.ovf"))
    (folder / "disk.raw.xz").write_bytes(b"\xfd7zXZ\0")
    (folder / "packed.raw").write_bytes(b"\x1f\x8b\x08")
    (folder / "notes").write_text("which images these are")
    (folder / "folder.qcow2").mkdir()
    os.mkfifo(folder / "pipe.img")
    (folder / "orphan.kernel").write_bytes(b"x")
    (folder / "damaged.qcow2").write_bytes(b"no header")
    (folder / "empty.img").touch()
    (folder / os.fsdecode(b"\xff.img")).write_bytes(bytes(512))
    for name in (".arriving-x.part", ".source.qcow2.Ab3x", "source.kernel"):
        (folder / name).write_bytes(b"x")
    (folder / "lost+found").mkdir()
    problems = {name: image.problem for name, image in (await listed(Images(folder))).items()}
    says = {
        "source": "", "linked": "",
        "Fedora-Cloud-Base-Generic-41-1.4.x86_64.qcow2":
            "capital letters in its name, which an image must not have: rename the file to "
            "fedora-cloud-base-generic-41-1.4.x86_64.qcow2",
        "with space.qcow2": "rename the file to with-space.qcow2",
        f"{'x' * 70}.img": f"a name of 70 characters, of which an image may have 63: rename the file to {'x' * 63}.img",
        "qcow2-inside": "is a qcow2 image: rename the file to qcow2-inside.qcow2",
        "outside.qcow2": "is a link that leads out of the images directory: put the file itself here",
        "dangling.qcow2": "is a link to no file", "loop.qcow2": "is a link to no file",
        "box.ova": "is an OVA archive: run `tar -xf box.ova`", "disk.raw.xz": "run `xz -d disk.raw.xz`",
        "packed": "is compressed with gzip", "notes": "is not named like an image",
        "folder.qcow2": "is a directory", "pipe.img": "is not a regular file",
        "orphan.kernel": "its image must be named orphan plus .qcow2, .img or .raw",
        "damaged": "damaged.qcow2 is not a qcow2 image", "empty": "has no valid size",
        "\N{REPLACEMENT CHARACTER}.img": "rename the file to image.img",
    }  # fmt: skip
    assert problems.keys() == says.keys()
    for name, expected in says.items():
        assert (expected in problems[name]) if expected else problems[name] == "", (name, problems[name])


async def test_unusable_file_is_no_source_of_a_vm(folder: Path, tmp_path: Path) -> None:
    add(tmp_path / "outside.qcow2")
    (folder / "outside.qcow2").symlink_to(tmp_path / "outside.qcow2")
    (folder / "packed.raw").write_bytes(b"\xfd7zXZ\0")
    store = Images(folder)
    with pytest.raises(errors.InvalidArgument, match="leads out of the images directory"):
        await store.get("outside")
    with pytest.raises(errors.InvalidArgument, match="compressed with xz"):
        await store.get("packed")


async def test_link_inside_the_directory_is_an_image_of_its_own(folder: Path) -> None:
    add(folder / "source.qcow2")
    (folder / "latest.qcow2").symlink_to("source.qcow2")
    store = Images(folder)
    assert (await store.get("latest")).path == folder / "source.qcow2"
    await store.delete("latest")
    assert (await listed(store)).keys() == {"source"}


async def test_two_files_with_one_name_are_told_apart(folder: Path) -> None:
    add(folder / "web.qcow2")
    (folder / "web.img").write_bytes(bytes(512))
    images = await listed(Images(folder))
    assert images["web"].format == "raw"
    assert "web.qcow2 has the name of the image web.img: rename or remove" in images["web.qcow2"].problem


async def test_file_that_grows_is_not_offered_until_it_is_complete(folder: Path) -> None:
    store = Images(folder)
    with (folder / "growing.raw").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(bytes(512))
            assert "is still being written" in (await listed(store))["growing"].problem
            with pytest.raises(errors.Conflict, match=r"growing\.raw is still being written"):
                await store.get("growing")
    assert (await listed(store))["growing"].problem == ""


async def test_file_that_is_opened_anew_for_each_piece_is_not_offered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "growing.raw"
    path.write_bytes(bytes(512))

    async def next_piece(_seconds: float) -> None:
        with path.open("ab") as file:
            file.write(bytes(512))

    with monkeypatch.context() as patch:
        patch.setattr("novacron_server.images.writers.asyncio.sleep", next_piece)
        assert await is_being_written(path)
    assert not await is_being_written(path)


async def test_copy_that_stalls_is_not_offered(folder: Path) -> None:
    path = folder / "stalled.raw"
    with path.open("wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        settle(path)
        assert "is still being written" in (await listed(Images(folder)))["stalled"].problem
    assert (await listed(Images(folder)))["stalled"].problem == ""


async def test_file_that_is_written_again_is_inspected_again(folder: Path) -> None:
    path = folder / "disk.raw"
    path.write_bytes(bytes(512))
    store = Images(folder)
    found = await store.get("disk")
    assert not found.has_changed()
    path.write_bytes(bytes(1024))
    assert found.has_changed()
    assert (await store.get("disk")).image.size_bytes == 1024
    path.unlink()
    assert not found.has_changed()


async def test_check_that_takes_long_goes_on_and_is_used_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(folder / "large.qcow2")
    go, real = asyncio.Event(), inspection.inspect

    async def slowly(*args: object, **kwargs: object) -> object:
        await go.wait()
        return await real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "inspect", slowly)
    monkeypatch.setattr(service, "_PATIENCE_S", 0.01)
    store = Images(folder)
    assert "is still being checked" in (await listed(store))["large"].problem
    with pytest.raises(errors.Conflict, match="still being checked"):
        await store.get("large")
    monkeypatch.setattr(service, "_PATIENCE_S", 60)
    go.set()
    assert (await store.get("large")).image.size_bytes == 8 << 20
