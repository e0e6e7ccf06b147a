"""Local file copies: complete, sparse, compared, and never over another file."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from novacron_core.errors import Conflict, Internal
from novacron_server.hypervisor.storage.file_copies import FileCopy, rename_new

MIB = 1 << 20


def write_sparse(path: Path) -> bytes:
    """16 MiB with data at the beginning, in the middle, and a hole at the end."""
    with path.open("wb") as file:
        file.write(os.urandom(MIB + 3))
        file.seek(7 * MIB + 11)
        file.write(os.urandom(2 * MIB))
        file.truncate(16 * MIB)
    return path.read_bytes()


def copied(
    source: Path, target: Path, cancel: threading.Event | None = None, bandwidth_bytes_s: int = 0
) -> list[tuple[int, int]]:
    reported: list[tuple[int, int]] = []
    target.touch()
    progress = lambda done, total: reported.append((done, total))  # noqa: E731
    FileCopy(source, target, progress, cancel or threading.Event(), bandwidth_bytes_s).run()
    return reported


def at_each_flush(monkeypatch: pytest.MonkeyPatch, do: Callable[[int, str], object]) -> None:
    """Call `do(handle, path)` at each flush, which is between copying and comparing."""
    real = os.fsync

    def flush(handle: int) -> None:
        do(handle, os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(os, "fsync", flush)


@pytest.mark.parametrize("in_kernel", [True, False])
def test_copy_has_every_byte_and_every_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_kernel: bool) -> None:
    if not in_kernel:
        monkeypatch.setattr(os, "copy_file_range", _not_here)
    content = write_sparse(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"older and longer" * 2 * MIB)
    reported = copied(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == content
    assert (tmp_path / "b").stat().st_blocks <= (tmp_path / "a").stat().st_blocks
    assert all(0 <= done <= total for done, total in reported)


def _not_here(*_: object) -> int:
    raise OSError(18, "Invalid cross-device link")


def _write_wrong_data(source: int, target: int, count: int, offset: int, _: int) -> int:
    data = bytearray(os.pread(source, count, offset))
    data[0] ^= 1
    return os.pwrite(target, data, offset)


def _write_nothing(_source: int, _target: int, count: int, _offset: int, __: int) -> int:
    return count


@pytest.mark.parametrize("wrong", [_write_wrong_data, _write_nothing])
def test_copy_that_differs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., int]
) -> None:
    write_sparse(tmp_path / "a")
    monkeypatch.setattr(os, "copy_file_range", wrong)
    with pytest.raises(Internal, match="differs"):
        copied(tmp_path / "a", tmp_path / "b")


def test_data_in_a_hole_of_the_source_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sparse(tmp_path / "a")
    at_each_flush(monkeypatch, lambda handle, path: path.endswith("/b") and os.pwrite(handle, b"x", 12 * MIB))
    with pytest.raises(Internal, match="differs"):
        copied(tmp_path / "a", tmp_path / "b")


def test_source_that_changes_during_the_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sparse(tmp_path / "a")
    at_each_flush(monkeypatch, lambda *_: os.utime(tmp_path / "a", ns=(1, 1)))
    with pytest.raises(Conflict, match="written to during the copy"):
        copied(tmp_path / "a", tmp_path / "b")


def test_file_and_directory_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sparse(tmp_path / "a")
    flushed: list[str] = []
    at_each_flush(monkeypatch, lambda _, path: flushed.append(path))
    copied(tmp_path / "a", tmp_path / "b")
    assert flushed == [str(tmp_path / "b"), str(tmp_path)]


def test_copy_is_cancelled_between_chunks(tmp_path: Path) -> None:
    write_sparse(tmp_path / "a")
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Conflict, match="cancelled"):
        copied(tmp_path / "a", tmp_path / "b", cancel)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("end", ["a", "b"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_only_regular_files_are_read_and_written(tmp_path: Path, end: str, kind: str) -> None:
    for name in ("a", "b", "elsewhere"):
        write_sparse(tmp_path / name)
    odd, before = tmp_path / end, (tmp_path / "elsewhere").read_bytes()
    odd.unlink()
    if kind == "link":
        odd.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(odd)
    else:
        os.mknod(odd, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    with pytest.raises(Conflict, match=f"{end} is not a regular file"):
        FileCopy(tmp_path / "a", tmp_path / "b", lambda *_: None, threading.Event()).run()
    assert (tmp_path / "elsewhere").read_bytes() == before


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "full"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "t", str(path)], check=False).returncode:
        pytest.skip("no right to mount here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_full_disk_is_reported_clearly(tmp_path: Path, full_disk: Path) -> None:
    write_sparse(tmp_path / "a")
    with pytest.raises(Conflict, match="no space left"):
        copied(tmp_path / "a", full_disk / "b")


def _fail(number: int) -> Callable[..., int]:
    def call(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("call", "number", "sentence"),
    [
        ("pread", errno.EIO, "cannot read a: Input/output error"),
        ("pwrite", errno.EROFS, "cannot write b: Read-only file system"),
        ("pwrite", errno.EFBIG, "cannot write b: File too large"),
        ("ftruncate", errno.EPERM, "cannot write b: Operation not permitted"),
        ("fsync", errno.EIO, "cannot write b: Input/output error"),
        ("fsync", errno.ENOSPC, "no space left in the pool"),
        ("ftruncate", errno.EDQUOT, "no space left in the pool"),
    ],
)
def test_refusal_of_a_file_system_names_the_file_and_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, sentence: str
) -> None:
    write_sparse(tmp_path / "a")
    monkeypatch.setattr(os, "copy_file_range", _fail(number))  # the kernel tells of neither file
    monkeypatch.setattr(os, call, _fail(number))
    with pytest.raises(Conflict, match=f"^{sentence}$"):
        copied(tmp_path / "a", tmp_path / "b")


def test_copy_gets_its_name_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _fail(errno.EPERM))
    (tmp_path / "part").write_text("ours")
    (tmp_path / "name").write_text("theirs")
    with pytest.raises(Conflict, match="a file named name already"):
        rename_new(tmp_path / "part", tmp_path / "name")
    (tmp_path / "name").unlink()
    rename_new(tmp_path / "part", tmp_path / "name")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("name", "ours")]
    monkeypatch.setattr(os, "link", _fail(errno.EROFS))
    with pytest.raises(Conflict, match="cannot rename a copy to other: Read-only file system"):
        rename_new(tmp_path / "name", tmp_path / "other")


def test_rename_never_replaces_another_file(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("ours")
    (tmp_path / "name").write_text("theirs")
    with pytest.raises(Conflict, match="a file named name already"):
        rename_new(tmp_path / "part", tmp_path / "name")
    assert (tmp_path / "name").read_text() == "theirs"
    (tmp_path / "name").unlink()
    rename_new(tmp_path / "part", tmp_path / "name")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]
    rename_new(tmp_path / "part", tmp_path / "name")  # renamed before, then interrupted
    (tmp_path / "name").rename(tmp_path / "part")
    os.link(tmp_path / "part", tmp_path / "name")
    rename_new(tmp_path / "part", tmp_path / "name")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


def test_rate_limit_slows_the_copy(tmp_path: Path) -> None:
    write_sparse(tmp_path / "a")
    waited: list[float] = []

    class RecordingEvent(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0)
            return False

    copied(tmp_path / "a", tmp_path / "b", RecordingEvent(), 2 * MIB)
    assert sum(waited) > 2.0  # 3 MiB written and read at 2 MiB/s, minus the time without a limit
