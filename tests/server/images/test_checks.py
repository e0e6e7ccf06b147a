"""An image is checked when it has arrived; a failure of qemu-img is told as its own, not as the image's."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api.images import ImageQuery
from novacron_core.values.sizes import GIB
from novacron_server.images import qemu_img
from novacron_server.images.inspection import inspect
from novacron_server.images.qemu_img import _Limits
from novacron_server.images.service import Images
from novacron_server.runtime.settings import Settings
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.server import running


def create(path: Path, *options: str, size: str = "64M") -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)
    return path


def write(path: Path, *commands: str) -> None:
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", "qcow2", *words, str(path)], check=False, capture_output=True)


async def body(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def put(store: Images, path: Path, *, replace: bool = False) -> object:
    data = path.read_bytes()
    return await store.put("web", ImageQuery(replace=replace), body(data), len(data))


@pytest.fixture
def full(tmp_path: Path) -> Path:
    path = create(tmp_path / "full.qcow2")
    write(path, "write -P 7 0 8M")
    return path


async def test_image_that_was_cut_off_is_refused_and_leaves_nothing(tmp_path: Path, full: Path) -> None:
    store = Images(tmp_path / "images")
    whole = full.read_bytes()
    for length in (len(whole) // 2, len(whole) - 65536):
        full.write_bytes(whole[:length])
        with pytest.raises(errors.InvalidArgument, match="web is incomplete: it refers to data behind the end"):
            await put(store, full)
        assert list((tmp_path / "images").iterdir()) == []
    full.write_bytes(whole)
    await put(store, full)


async def test_damaged_image_is_refused(tmp_path: Path, full: Path) -> None:
    data = bytearray(full.read_bytes())
    table = int.from_bytes(data[40:48], "big")  # the L1 table; its first entry leads to the L2 table
    entries = int.from_bytes(data[table : table + 8], "big") & ~(1 << 63)
    data[entries : entries + 8] = ((1 << 63) | 0x50200).to_bytes(8, "big")  # not at a cluster's boundary
    full.write_bytes(data)
    with pytest.raises(errors.InvalidArgument, match=r"full.qcow2 is damaged: qemu-img check finds \d+ errors"):
        await inspect(full)


async def test_what_qemu_repairs_or_ignores_is_no_damage(tmp_path: Path) -> None:
    dirty = create(tmp_path / "dirty.qcow2", "-o", "lazy_refcounts=on")
    write(dirty, "write 0 1M", "sigraise 9")
    assert subprocess.run(["qemu-img", "check", dirty], capture_output=True, check=False).returncode == 2
    bitmap = create(tmp_path / "bitmap.qcow2")
    subprocess.run(["qemu-img", "bitmap", "--add", "--enable", bitmap, "nightly"], check=True)
    for path in (dirty, bitmap, create(tmp_path / "odd.qcow2", size="10486272")):
        assert (await inspect(path)).format == "qcow2"
    with dirty.open("r+b") as file:
        file.truncate(dirty.stat().st_size - 3 * 65536)
    with pytest.raises(errors.InvalidArgument, match="is incomplete"):
        await inspect(dirty)


async def test_disk_larger_than_the_limit_is_refused_with_the_flag_that_raises_it(tmp_path: Path) -> None:
    huge = create(tmp_path / "huge.qcow2", "-o", "cluster_size=2M", size="1E")
    with pytest.raises(errors.InvalidArgument, match=r"disk of 1 EiB, .* at most 64 TiB \(--max-virtual-size-gib\)"):
        await put(Images(tmp_path / "images"), huge)
    raw = tmp_path / "huge.raw"
    with raw.open("wb") as file:
        file.truncate(2 * GIB)
    with pytest.raises(errors.InvalidArgument, match=r"huge.raw is a disk of 2 GiB, .* at most 1 GiB"):
        await inspect(raw, max_bytes=GIB)
    assert (await inspect(raw, max_bytes=2 * GIB)).size_bytes == 2 * GIB


FAILING = {
    "missing": ("", "qemu-img is not installed on the server"),
    "crashes": ("kill -SEGV $$", r"qemu-img crashed while it checked full.qcow2 \(signal 11\). The image may be good"),
    "hangs": ("exec sleep 600", "qemu-img could not check full.qcow2 within 1 seconds"),
    "needs memory": (
        'echo "qemu-img: Cannot allocate memory" >&2; exit 1', "needs more than 1 GiB of memory to check full.qcow2"
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", FAILING)
@pytest.mark.parametrize("subcommand", ["info", "check"])
async def test_failure_of_qemu_img_is_not_told_as_that_of_the_image(
    tmp_path: Path, full: Path, how: str, subcommand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, says = FAILING[how]
    real, programs = shutil.which("qemu-img"), tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setattr(qemu_img, f"_FOR_{subcommand.upper()}", _Limits(1, GIB))
    if script:
        (programs / "qemu-img").write_text(f'#!/bin/sh\n[ $1 != {subcommand} ] && exec {real} "$@"\n{script}\n')
        (programs / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin:/bin" if script else str(programs))
    with pytest.raises((errors.Internal, errors.Unsupported), match=says):
        await inspect(full)
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy2(full, folder / "full.qcow2")
    shutil.copy2(full, folder / "packed.img")
    (folder / "packed.img").write_bytes(b"\x1f\x8b\x08")
    problems = {image.name: image.problem for image in await Images(folder).list()}
    assert problems["full"]
    assert "compressed with gzip" in problems["packed"]
    with pytest.raises((errors.Internal, errors.Unsupported), match=says):
        await Images(folder).get("full")


async def test_image_is_checked_again_after_qemu_img_failed(
    tmp_path: Path, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    shutil.copy2(full, folder / "full.qcow2")
    os.utime(folder / "full.qcow2", (0, 0))
    monkeypatch.setattr("novacron_server.images.service._RETRY_S", 0.0)
    store, path = Images(folder), os.environ["PATH"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Unsupported):
        await store.get("full")
    monkeypatch.setenv("PATH", path)
    assert (await store.get("full")).image.problem == ""


async def test_checksum_is_that_of_the_file_that_arrived(tmp_path: Path, full: Path) -> None:
    store = Images(tmp_path / "images")
    sha256 = hashlib.sha256(full.read_bytes()).hexdigest()
    image = await store.put("web", ImageQuery(sha256=sha256), body(full.read_bytes()), None)
    assert (image.sha256, image.size_bytes) == (sha256, 64 << 20)


async def test_limit_of_the_disk_is_a_setting(owner_url: str, database_url: str, data_dir: Path, uri: str) -> None:
    (data_dir / "images").mkdir()
    with (data_dir / "images" / "large.raw").open("wb") as file:
        file.truncate(2 * GIB)
    settings = Settings(data_dir=data_dir, max_virtual_size_gib=1, database_budget_s=LONG_BUDGET_S)
    async with running(settings, owner_url, database_url, [uri]) as (_url, parts):
        problem = next(image.problem for image in await parts.images.list() if image.name == "large")
    assert "at most 1 GiB (--max-virtual-size-gib)" in problem
    with pytest.raises(errors.InvalidArgument, match=r"--max-virtual-size-gib must be from 1"):
        Settings(data_dir=data_dir, max_virtual_size_gib=0).check()
