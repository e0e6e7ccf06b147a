"""Files are recognized by their content, and what is no disk image for us is named with the command that helps."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from novacron_core.values.image_files import (
    HEAD_BYTES,
    TAIL_BYTES,
    FileKind,
    read_image_file,
    recognize,
    why_not_format,
    why_not_grow,
    why_not_standalone,
)

DISK = bytes(range(256)) * 512
MBR = b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa" + bytes(4096)


def found(data: bytes, name: str = "disk.img") -> FileKind:
    return recognize(data[:HEAD_BYTES], data[-TAIL_BYTES:], name)


def refusal(data: bytes, name: str = "disk.img") -> str:
    return found(data, name).why_not(name) or ""


def made_by_qemu(folder: Path, kind: str, *options: str, size: str = "4M") -> Path:
    path = folder / f"disk.{kind}"
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *options, str(path), size], check=True)
    return path


def tar_of(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return out.getvalue()


def zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, DISK)
    return out.getvalue()


@pytest.mark.parametrize("name", ["noble-server-cloudimg-amd64.img", "disk.raw", "GenericCloud.QCOW2", "disk"])
def test_qcow2_image_is_recognized_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    shutil.copy(made_by_qemu(tmp_path, "qcow2"), path)
    assert read_image_file(path)[0].format == "qcow2"
    assert why_not_format(read_image_file(path)[0], None, name) is None


@pytest.mark.parametrize("data", [MBR, bytes(1024), DISK, b"", b"\x1f\x8b", b"BZh is not all of it", b"QF"])
def test_anything_that_is_not_recognized_is_raw(data: bytes) -> None:
    assert found(data).format == "raw"


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("disk.raw.xz", lzma.compress(DISK),
         "is compressed with xz: run `xz -d disk.raw.xz` and upload disk.raw"),
        ("packed.raw", lzma.compress(DISK),
         "is compressed with xz: run `xz -dc < packed.raw > packed.unpacked.raw` and upload packed.unpacked.raw"),
        ("x.qcow2", gzip.compress(DISK), "is compressed with gzip: run `gzip -dc < x.qcow2 > x.unpacked.qcow2`"),
        ("x.img.gz", gzip.compress(DISK), "run `gzip -d x.img.gz` and upload x.img"),
        ("x.img.bz2", bz2.compress(DISK), "is compressed with bzip2: run `bzip2 -d x.img.bz2` and upload x.img"),
        ("x.lzma", lzma.compress(DISK, format=lzma.FORMAT_ALONE), "compressed with lzma: run `xz -d x.lzma`"),
        ("x.zst", b"\x28\xb5\x2f\xfd" + DISK, "compressed with zstd: run `zstd -d x.zst`"),
        ("my disk.xz", lzma.compress(DISK), "run `xz -d 'my disk.xz'`"),
        ("-x.xz", lzma.compress(DISK), "run `xz -d ./-x.xz`"),
        ("x.zip", zip_of("disk.img"), "is a zip archive: run `unzip x.zip` and upload the disk image in it"),
        ("x.7z", b"7z\xbc\xaf\x27\x1c" + DISK, "is a 7z archive"),
        ("x.tar", tar_of("disk.img"), "is a tar archive: run `tar -xf x.tar`"),
        ("box-ova.raw", tar_of("box.ovf", "box-disk1.vmdk"), "is an OVA archive: run `tar -xf box-ova.raw`"),
        ("cd.raw", bytes(0x8000) + b"\1CD001\1" + bytes(4096), "is an ISO 9660 image"),
        ("x.vmdk", b"KDMV\1\0\0\0" + DISK, "is a VMDK image: run `qemu-img convert -O qcow2 x.vmdk x.qcow2`"),
        ("x.vmdk", b"# Disk DescriptorFile\n", "is a VMDK image"),
        ("x.qcow2", b"KDMV\1\0\0\0", "convert -O qcow2 x.qcow2 x.converted.qcow2"),
        ("x.img", b"LUKS\xba\xbe\0\1" + DISK, "is encrypted with LUKS: run `cryptsetup open"),
        ("x.img", b"\x3a\xff\x26\xed" + DISK, "is an Android sparse image: run `simg2img x.img"),
        ("x.img", b"\x7fELF" + DISK, "is an ELF program, not a disk image"),
        ("x.img", b"\n<!DOCTYPE html><html>", "is a web page (HTML), not a disk image: the download led to a page"),
        ("box.ovf", b'<?xml version="1.0"?><Envelope/>', "is the description of a VM (OVF)"),
        ("x.img", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("x.dmg", DISK + b"koly" + bytes(508), "is a DMG image"),
    ],
)  # fmt: skip
def test_what_is_no_disk_image_is_named_with_the_command_that_helps(name: str, data: bytes, says: str) -> None:
    assert found(data, name).format is None
    assert refusal(data, name).startswith(name)
    assert says in refusal(data, name)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("vmdk", ["-o", "subformat=streamOptimized"], "VMDK"), ("vdi", [], "VDI"), ("vhdx", [], "VHDX"),
        ("vpc", ["-o", "subformat=dynamic"], "VHD"), ("vpc", ["-o", "subformat=fixed"], "VHD"), ("qed", [], "QED"),
        ("parallels", [], "Parallels"), ("qcow", [], "QCOW"),
    ],
)  # fmt: skip
def test_named_command_converts_each_image_that_qemu_makes(
    tmp_path: Path, kind: str, options: list[str], says: str
) -> None:
    path = made_by_qemu(tmp_path, kind, *options)
    sentence = read_image_file(path)[0].why_not(path.name) or ""
    assert f"is a {says} image" in sentence
    command, target = sentence.split("`")[1], sentence.rsplit(" ", 1)[1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert read_image_file(tmp_path / target)[0].format == "qcow2"


def test_named_command_unpacks_what_is_compressed(tmp_path: Path) -> None:
    for name in ("disk.raw.xz", "packed.raw", "DISK.IMG.XZ", "-odd name.img"):
        path = tmp_path / name
        path.write_bytes(lzma.compress(MBR))
        sentence = read_image_file(path)[0].why_not(name) or ""
        command, target = sentence.split("`")[1], sentence.rsplit(" upload ", 1)[1]
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
        assert (tmp_path / target).read_bytes() == MBR


def test_format_that_is_asked_for_must_be_that_of_the_content(tmp_path: Path) -> None:
    qcow2, raw = read_image_file(made_by_qemu(tmp_path, "qcow2"))[0], found(MBR)
    assert why_not_format(qcow2, "qcow2", "x") is why_not_format(raw, "raw", "x") is None
    assert why_not_format(qcow2, "raw", "x") == "x is a qcow2 image, not a raw one: give the format qcow2"
    assert "x is not a qcow2 image" in (why_not_format(raw, "qcow2", "x") or "")
    assert why_not_format(raw, None, "x.img") is None
    assert "x.QCOW2 is not a qcow2 image" in (why_not_format(raw, None, "x.QCOW2") or "")
    assert why_not_format(raw, "raw", "x.qcow2") is None


def test_image_with_a_backing_file_is_known_by_its_header(tmp_path: Path) -> None:
    base = made_by_qemu(tmp_path, "qcow2")
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", "qcow2", overlay], check=True)
    assert why_not_standalone(base.read_bytes(), "base") is None
    assert why_not_standalone(MBR, "raw") is None
    assert "has a backing file" in (why_not_standalone(overlay.read_bytes(), "overlay.qcow2") or "")


def test_only_version_2_with_snapshots_cannot_grow(tmp_path: Path) -> None:
    """The rule is QEMU's: `qemu-img resize` agrees."""
    for compat, snapshots in (("0.10", 0), ("0.10", 2), ("1.1", 1)):
        path = made_by_qemu(tmp_path, "qcow2", "-o", f"compat={compat}")
        for number in range(snapshots):
            subprocess.run(["qemu-img", "snapshot", "-c", f"s{number}", path], check=True)
        why = why_not_grow(path.read_bytes())
        resized = subprocess.run(
            ["qemu-img", "resize", "-q", "-f", "qcow2", path, "8M"], capture_output=True, check=False
        )
        assert (why is None) == (resized.returncode == 0), (compat, snapshots)
        assert why is None or "2 snapshots" in why
        path.unlink()
    assert why_not_grow(MBR) is None


def gpt(*ends: int) -> bytes:
    """The first sectors of a disk with partitions that end at these sectors."""
    header = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 128, 128)
    entries = b"".join(b"\x01" * 16 + bytes(16) + struct.pack("<QQ", 40, end) + bytes(80) for end in ends)
    return (bytes(512) + header.ljust(512, b"\0") + entries).ljust(64 * 512, b"\0")


@pytest.mark.parametrize(
    ("sectors", "format"),
    [(2048, "raw"), (2047, None), (64, None), (4096, "raw")],
    ids=["whole", "one", "much", "more"],
)
def test_raw_disk_without_the_end_of_its_partitions_is_incomplete(
    tmp_path: Path, sectors: int, format: str | None
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(gpt(100, 2047))
    os.truncate(disk, sectors * 512)
    found, _ = read_image_file(disk)
    assert found.format == format
    if format is None:
        assert "is incomplete" in (found.why_not("disk.raw") or "")


def test_nonsense_in_a_partition_table_is_a_raw_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    for values in ((2**63, 2**32 - 1, 2**32 - 1), (2, 2**32 - 1, 0), (0, 0, 0)):
        header = b"EFI PART" + bytes(64) + struct.pack("<QII", *values)
        disk.write_bytes((bytes(512) + header).ljust(64 * 512, b"\0"))
        assert read_image_file(disk)[0].format == "raw"
