"""Formats that libvirt calls raw, data files and missing backing files are told from the files' headers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from novacron_server.file_calls import FileCalls
from novacron_server.hypervisor.facts import VolumeFacts
from novacron_server.hypervisor.specs import with_creation_format
from novacron_server.hypervisor.storage.headers import Headers


def create(path: Path, image_format: str, *options: str, size: str = "16M") -> VolumeFacts:
    subprocess.run(["qemu-img", "create", "-q", "-f", image_format, *options, str(path), size], check=True)
    return facts(path, "qcow2" if image_format == "qcow2" else "raw")


def facts(path: Path, listed_as: str = "raw", backing_file: str = "") -> VolumeFacts:
    found = path.stat()
    return VolumeFacts(
        pool="p",
        pool_uuid="u",
        name=path.name,
        path=str(path),
        size_bytes=1,
        allocated_bytes=1,
        format=listed_as,
        backing_file=backing_file,
        file_bytes=found.st_size,
        modified_ns=found.st_mtime_ns,
    )


@pytest.mark.parametrize("image_format", ["vhdx", "vpc", "vmdk", "qed", "luks", "parallels"])
def test_format_is_that_of_the_header(tmp_path: Path, image_format: str) -> None:
    if image_format == "luks":  # qemu-img measures how fast it hashes, and fails on a busy machine
        (tmp_path / "disk").write_bytes(b"LUKS\xba\xbe\0\1".ljust(1 << 20, b"\0"))
        volume = facts(tmp_path / "disk")
    else:
        volume = create(tmp_path / "disk", image_format)
    (found,) = Headers().complete(str(tmp_path), [volume])
    assert (found.format, found.note) == (image_format, "")
    assert with_creation_format(found, "raw").format == "raw", "what a guest has written is no format"


def test_header_is_read_again_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096))
    headers = Headers()
    assert headers.complete(str(tmp_path), [facts(path)])[0].format == "raw"
    path.write_bytes(b"vhdxfile" + bytes(4088))
    os.utime(path, ns=(1, 1))
    assert headers.complete(str(tmp_path), [facts(path)])[0].format == "vhdx"


def test_data_file_is_named(tmp_path: Path) -> None:
    data = tmp_path / "outside.data"
    volume = create(tmp_path / "with-data", "qcow2", "-o", f"data_file={data},data_file_raw=on")
    plain, old = create(tmp_path / "plain", "qcow2"), create(tmp_path / "old", "qcow2", "-o", "compat=0.10")
    found = Headers().complete(str(tmp_path), [volume, plain, old])
    assert [each.note for each in found] == ["its data is in another file, outside.data: keep both together", "", ""]
    assert {each.format for each in found} == {"qcow2"}


def test_orphan_says_that_its_backing_file_is_missing(tmp_path: Path) -> None:
    base = create(tmp_path / "base", "qcow2")
    create(tmp_path / "overlay", "qcow2", "-b", "base", "-F", "qcow2")
    overlay = facts(tmp_path / "overlay", "qcow2", str(tmp_path / "base"))
    headers = Headers()
    assert [each.note for each in headers.complete(str(tmp_path), [base, overlay])] == ["", ""]
    assert headers.complete(str(tmp_path), [overlay])[0].note == "", "it is there, if not a volume of the pool"
    (tmp_path / "base").unlink()
    (found,) = headers.complete(str(tmp_path), [overlay])
    assert found.note == f"its backing file {tmp_path}/base is missing: without it, it cannot be read"


def test_file_of_another_namespace_and_odd_files_stay_what_libvirt_says(tmp_path: Path) -> None:
    volume = create(tmp_path / "disk", "vhdx")
    (tmp_path / "link").symlink_to("disk")
    os.mkfifo(tmp_path / "pipe")
    short = tmp_path / "short"
    short.write_bytes(b"QFI\xfb\0\0\0\3")
    endless = tmp_path / "endless"
    endless.write_bytes(b"QFI\xfb\0\0\0\3".ljust(72, b"\0") + b"\xff" * 4024)
    given = [
        msgspec.structs.replace(volume, modified_ns=1),
        msgspec.structs.replace(volume, modified_ns=None),
        msgspec.structs.replace(volume, path=str(tmp_path / "gone")),
        facts(tmp_path / "link"),
        facts(tmp_path / "pipe"),
        facts(short, "qcow2"),
        facts(tmp_path, "dir"),
    ]
    assert Headers().complete(str(tmp_path), given) == given
    assert "another file, ?" in Headers().complete(str(tmp_path), [facts(endless, "qcow2")])[0].note


def test_directory_that_does_not_respond_changes_nothing(tmp_path: Path) -> None:
    volume, calls = create(tmp_path / "disk", "vhdx"), FileCalls(0.1)
    calls._unanswered[None] = str(tmp_path)  # type: ignore[index]
    assert Headers(calls).complete(str(tmp_path), [volume]) == [volume]
