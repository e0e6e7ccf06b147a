"""What a disk image file is, by its content: how to upload it, or what to do first. A file's name says nothing about it.

Sources of the signatures: QEMU's block drivers, libvirt's storage_source.c, and the formats' own specifications.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Literal

from novacron_core.values.counts import counted

Format = Literal["qcow2", "raw"]

HEAD_BYTES = 36 * 1024
"""How much of a file's beginning is looked at: up to the first descriptor of an ISO 9660 image at 32 KiB."""
TAIL_BYTES = 512
"""How much of its end: the footer of a fixed VHD and of a DMG."""
SUFFIXES = (".qcow2", ".img", ".raw")
"""The suffixes of image files on the server, in lower case."""

_QCOW = b"QFI\xfb"
_COMPRESSED = {
    b"\xfd7zXZ\0": ("xz", ".xz", "xz"),
    b"\x1f\x8b\x08": ("gzip", ".gz", "gzip"),
    b"BZh": ("bzip2", ".bz2", "bzip2"),
    b"\x28\xb5\x2f\xfd": ("zstd", ".zst", "zstd"),
    b"\x04\x22\x4d\x18": ("lz4", ".lz4", "lz4"),
    b"LZIP": ("lzip", ".lz", "lzip"),
    b"\x1f\x9d": ("compress", ".Z", "gzip"),
}
"""First bytes → (what compressed the file, its suffix, the program that decompresses it)."""
_ARCHIVES = {
    b"PK\3\4": ("a zip", "unzip"),
    b"PK\5\6": ("a zip", "unzip"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z", "7z x"),
    b"Rar!\x1a\x07": ("a RAR", "unrar x"),
}
"""First bytes → (kind of archive, the command that unpacks it)."""
_CONVERTIBLE = {
    b"KDMV": "VMDK", b"COWD": "VMDK", b"# Disk Descriptor": "VMDK", b"<<< ": "VDI", b"conectix": "VHD",
    b"vhdxfile": "VHDX", b"QED\0": "QED", b"WithoutFreeSpace": "Parallels", b"WithouFreSpacExt": "Parallels",
    b"Bochs Virtual HD Image": "Bochs",
}  # fmt: skip
"""First bytes → the image format, which QEMU recognizes and converts."""
_OTHER = {
    b"\x7fELF": "an ELF program",
    b"%PDF-": "a PDF document",
    b"!<arch>\n": "a package or library (ar)",
    b"\xed\xab\xee\xdb": "an RPM package",
    b"MSWIM\0\0\0": "a Windows image (WIM), from which an installer copies files",
    b"OOOM": "a copy-on-write file of User-mode Linux",
    b"version https://git-lfs": "a Git LFS pointer: fetch the file itself with `git lfs pull`",
}
_VDI_SIGNATURE = b"\x7f\x10\xda\xbe"


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is. `format`: how it can be used; None: it cannot, `what` (continues "FILE is") and `advice` say why."""

    format: Format | None
    what: str
    advice: str = ""

    def why_not(self, name: str) -> str | None:
        """Why a file of this name cannot be used as it is, with the command that helps; None if it can."""
        if self.format is not None:
            return None
        return f"{name} is {self.what}{': ' if self.advice else ''}{self.advice}"


def read_image_file(path: Path, name: str = "") -> tuple[FileKind, bytes]:
    """What a regular file is, and its first `HEAD_BYTES`. Its advice calls it `name`, or as `path` does. Raises OSError."""
    with path.open("rb") as file:
        head, size = file.read(HEAD_BYTES), file.seek(0, 2)
        file.seek(-min(TAIL_BYTES, size), 2)
        tail = file.read(TAIL_BYTES)
    found = recognize(head, tail, name or path.name)
    if found.format == "raw" and (needed := _end_of_partitions(head)) > size:
        found = FileKind(None, f"incomplete: it has {size} bytes, and its partitions end at {needed}", "copy it again")
    return found, head


def _end_of_partitions(head: bytes) -> int:
    """Where the last partition of a GPT ends, in bytes; 0 without a GPT. (UEFI specification, 5.3: sectors of 512 bytes.)

    The backup of the table may be missing behind it: images are cut there to save space, and boot.
    """
    if head[512:520] != b"EFI PART":
        return 0
    entries_at, count, entry_bytes = struct.unpack_from("<QII", head, 512 + 72)
    begin, ends = entries_at * 512, [0]
    for at in range(begin, min(begin + count * max(entry_bytes, 128), len(head) - 127), max(entry_bytes, 128)):
        if any(head[at : at + 16]):  # its type
            ends.append((struct.unpack_from("<Q", head, at + 40)[0] + 1) * 512)
    return max(ends)


def recognize(head: bytes, tail: bytes, name: str) -> FileKind:
    """What the file `name` is, by its first `HEAD_BYTES` and last `TAIL_BYTES` (less if it is shorter).

    What is not recognized is raw: a raw disk may begin with anything.
    """
    if head.startswith(_QCOW):
        if head[4:8] == b"\0\0\0\1":
            return _convertible("QCOW", name)
        return FileKind("qcow2", "a qcow2 image")
    found = _compressed(head, name) or _archive(head, name) or _other_image(head, tail, name) or _other(head)
    return found or FileKind("raw", "a raw image")


def why_not_format(found: FileKind, wanted: Format | None, name: str) -> str | None:
    """Why the file `name` must not be used as `wanted` (None: as what it is), as a sentence; None if it can.

    Of a name only this counts: a file that is named .qcow2 and is none may be damaged, and must not pass for a raw disk.
    """
    if found.format is None or found.format == wanted:
        return found.why_not(name)
    if wanted is None and found.format == "raw" and name.lower().endswith(".qcow2"):
        raw = _with_suffix(name, ".img")
        return f"{name} is not a qcow2 image. If it is a raw disk image, rename it to {raw}; else copy it again"
    if wanted is None:
        return None
    if found.format == "raw":
        return f"{name} is not a qcow2 image. If it is a raw disk image, give the format raw"
    return f"{name} is a qcow2 image, not a raw one: give the format qcow2"


def why_not_standalone(head: bytes, name: str) -> str | None:
    """Why a qcow2 image is not whole by itself, from its header; None if it is, or is no qcow2 image."""
    if not head.startswith(_QCOW) or len(head) < 16 or not int.from_bytes(head[8:16], "big"):
        return None
    command = f"qemu-img convert -O qcow2 {_argument(name)} {_argument(_with_suffix(name, '.qcow2'))}"
    return f"{name} has a backing file, without which it is incomplete: run `{command}` where the backing file is"


def why_not_grow(head: bytes) -> str | None:
    """Why a qcow2 disk cannot be made larger, continuing a sentence that starts with its name; None if it can.

    QEMU resizes an image with internal snapshots only in version 3 of the format (block/qcow2.c, qcow2_co_truncate).
    """
    if not head.startswith(_QCOW) or len(head) < 64:
        return None
    version, snapshots = struct.unpack_from(">4xI52xI", head)
    if version >= 3 or not snapshots:
        return None
    return (
        f"contains {counted(snapshots, 'snapshot')} in version 2 of the qcow2 format (compat 0.10), so it cannot grow"
    )


def _compressed(head: bytes, name: str) -> FileKind | None:
    found = next((entry for magic, entry in _COMPRESSED.items() if head.startswith(magic)), None)
    if (
        found is None and head[:1] == b"\x5d" and head[5:13] == b"\xff" * 8
    ):  # LZMA has no signature, only a usual header
        found = ("lzma", ".lzma", "xz")
    if found is None or (found[0] == "bzip2" and head[4:10] not in (b"1AY&SY", b"\x17rE8P\x90")):
        return None
    kind, suffix, program = found
    if name.endswith(suffix) and len(name) > len(suffix):
        unpacked, command = name.removesuffix(suffix), f"{program} -d {_argument(name)}"
    else:
        unpacked = _with_suffix(name, _suffix_of(name), mark=".unpacked")
        command = f"{program} -dc < {quote(name)} > {quote(unpacked)}"
    return FileKind(None, f"compressed with {kind}", f"run `{command}` and upload {unpacked}")


def _archive(head: bytes, name: str) -> FileKind | None:
    found = next((entry for magic, entry in _ARCHIVES.items() if head.startswith(magic)), None)
    if found is not None:
        kind, command = found
        return FileKind(None, f"{kind} archive", f"run `{command} {_argument(name)}` and upload the disk image in it")
    if not _is_tar(head):
        return None
    unpack = f"tar -xf {_argument(name)}"
    if head[:100].rstrip(b"\0").lower().endswith(b".ovf"):
        convert = "qemu-img convert -O qcow2 DISK.vmdk DISK.qcow2"
        return FileKind(None, "an OVA archive", f"run `{unpack}`, then `{convert}`, and upload DISK.qcow2")
    return FileKind(None, "a tar archive", f"run `{unpack}` and upload the disk image in it")


def _is_tar(head: bytes) -> bool:
    """Whether the first block is a tar header: its checksum is right. (Old archives have no signature.)"""
    block = head[:512]
    try:
        wanted = int(block[148:156].strip(b"\0 "), 8)
    except ValueError:
        return False
    return len(block) == 512 and block[0] != 0 and sum(block) - sum(block[148:156]) + 8 * 0x20 == wanted


def _other_image(head: bytes, tail: bytes, name: str) -> FileKind | None:
    kind = next((kind for magic, kind in _CONVERTIBLE.items() if head.startswith(magic)), "")
    kind = kind or ("VDI" if head[64:68] == _VDI_SIGNATURE else "")
    if kind:
        return _convertible(kind, name)
    if tail[-512:].startswith(b"conectix") or tail[-511:].startswith(b"conectix"):
        return _convertible("VHD", name, "-f vpc ")  # a fixed one has no header, so QEMU must be told the format
    if tail.startswith(b"koly"):
        return _convertible("DMG", name)
    if head.startswith(b"LUKS\xba\xbe"):
        opened = "/dev/mapper/decrypted"
        target = _with_suffix(name, ".qcow2", mark=".decrypted")
        commands = f"cryptsetup open --readonly {_argument(name)} decrypted`, then `qemu-img convert -f raw -O qcow2"
        return FileKind(
            None, "encrypted with LUKS", f"run `{commands} {opened} {_argument(target)}`, and upload {target}"
        )
    if head.startswith(b"\x3a\xff\x26\xed"):
        target = _with_suffix(name, ".img", mark=".unpacked")
        command = f"simg2img {_argument(name)} {_argument(target)}"
        return FileKind(None, "an Android sparse image", f"run `{command}` and upload {target}")
    if head[0x8001:0x8006] == b"CD001":
        advice = "an installation medium is not the disk of a VM. Upload a disk image, such as a cloud image"
        return FileKind(None, "an ISO 9660 image (CD or DVD)", advice)
    return None


def _convertible(kind: str, name: str, source_format: str = "") -> FileKind:
    target = _with_suffix(name, ".qcow2")
    command = f"qemu-img convert {source_format}-O qcow2 {_argument(name)} {_argument(target)}"
    return FileKind(None, f"a {kind} image", f"run `{command}` and upload {target}")


def _other(head: bytes) -> FileKind | None:
    what = next((what for magic, what in _OTHER.items() if head.startswith(magic)), "")
    if what:
        return FileKind(None, what if "Git LFS" in what else f"{what}, not a disk image")
    text = head[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        advice = "the download led to a page instead of the file. Download the image again"
        return FileKind(None, "a web page (HTML), not a disk image", advice)
    if text.startswith(b"<?xml") and (b"<envelope" in text or b":envelope" in text):
        return FileKind(None, "the description of a VM (OVF)", "convert and upload the disk image that it names")
    if text.startswith(b"<?xml"):
        return FileKind(None, "an XML document, not a disk image")
    return None


def _suffix_of(name: str) -> str:
    """The suffix for another file like this one: that of an image, in lower case."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if suffix in SUFFIXES else ".img"


def _with_suffix(name: str, suffix: str, *, mark: str = "") -> str:
    """The name with another suffix. `mark` stands before it, or where the result were the file itself."""
    stem = PurePosixPath(name).stem
    if not mark and f"{stem}{suffix}" == name:
        mark = ".converted"
    return f"{stem}{mark}{suffix}"


def _argument(name: str) -> str:
    """The file name as an argument in a shell command."""
    return quote(f"./{name}" if name.startswith("-") else name)
