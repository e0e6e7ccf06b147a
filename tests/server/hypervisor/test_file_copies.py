"""Local file copies: complete, sparse, compared, and never over another file."""

from __future__ import annotations

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
