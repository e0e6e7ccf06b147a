"""Backing files from image headers, files with several names, and invalid headers."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from novacron_server.hypervisor.storage.backing_files import Files


def image(path: Path, below: str = "") -> str:
    more = ["-u", "-F", "qcow2", "-b", below] if below else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *more, str(path), "1M"], check=True)
    return str(path)


@pytest.mark.parametrize(
    "says",
    [
        "{folder}/base",
        "base",
        "file:{folder}/base",
        '{{"driver":"qcow2","file":{{"driver":"file","filename":"{folder}/base"}}}}',
        '{{"file.filename":"{folder}/base"}}',
        "{folder}/sub/../base",
        "{folder}/link",
    ],
)
def test_chain_is_read_in_every_notation(tmp_path: Path, says: str) -> None:
    base, name = image(tmp_path / "base"), says.format(folder=tmp_path)
    (tmp_path / "link").symlink_to(base)
    (tmp_path / "sub").mkdir()
    image(tmp_path / "middle", f"json:{name}" if name.startswith("{") else name)
    top = image(tmp_path / "top", "middle")
    assert Files(local=True).chain([top]) == {str(tmp_path / "middle"), base}
    assert Files(local=False).chain([top]) == set()


def test_invalid_header_has_no_chain(tmp_path: Path) -> None:
    pipe, loop, head = tmp_path / "pipe", tmp_path / "loop", struct.pack(">4sIQI", b"QFI\xfb", 3, 20, 3)
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    image(tmp_path / "round", f"{tmp_path}/./round")
    for name, content in {
        "short": b"QFI\xfb",
        "far": struct.pack(">4sIQI", b"QFI\xfb", 3, 2**63, 5),
        "long": struct.pack(">4sIQI", b"QFI\xfb", 3, 20, 2**31),
        "nul": head + b"a\0b",
        "deep": struct.pack(">4sIQI", b"QFI\xfb", 3, 20, 1000) + b"json:" + b'{"file":' * 120,
        "number": struct.pack(">4sIQI", b"QFI\xfb", 3, 20, 18) + b'json:{"filename":1',
    }.items():
        (tmp_path / name).write_bytes(content)
    files = Files(local=True)
    for path in (*tmp_path.iterdir(), tmp_path / "none", Path("/dev/zero"), Path("/dev/tty"), Path("/proc/self/mem")):
        assert files.chain([str(path)]) <= {str(tmp_path / "round")}, path


def test_file_with_several_names_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "v").touch()
    (tmp_path / "way").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "also").symlink_to("v")
    local, remote = Files(local=True), Files(local=False)
    names = [tmp_path / "real/v", tmp_path / "way/v", tmp_path / "real/also", Path(f"{tmp_path}/way/../real//v")]
    assert {local.real(str(name)) for name in names} == {str(tmp_path / "real" / "v")}
    assert remote.real(f"{tmp_path}/x/..//way/v") == str(tmp_path / "way" / "v")
    assert local.real("rbd:pool/image") == "rbd:pool/image"


def test_directory_with_two_names_is_one(tmp_path: Path) -> None:
    real, shown = tmp_path / "real", tmp_path / "shown"
    real.mkdir()
    shown.mkdir()
    (tmp_path / "link").symlink_to(shown / "v")
    if subprocess.run(["mount", "--bind", str(real), str(shown)], check=False).returncode:
        pytest.skip("no right to mount here")
    try:
        (real / "v").touch()
        files = Files(local=True)
        assert {files.real(str(name)) for name in (shown / "v", real / "v", tmp_path / "link")} == {str(shown / "v")}
    finally:
        subprocess.run(["umount", str(shown)], check=True)
