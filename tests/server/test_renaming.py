"""A file gets its final name without replacing another, also on a file system without hard links."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from novacron_server import renaming
from novacron_server.renaming import rename_without_replacing


class NoLibrary:
    """A C library without renameat2."""


@pytest.mark.parametrize("lacks", ["nothing", "links", "links and the flag"])
def test_file_is_renamed_without_replacing_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    if lacks != "nothing":
        monkeypatch.setattr(os, "link", _refuse)
    if lacks == "links and the flag":
        monkeypatch.setattr(renaming, "_LIBC", NoLibrary())
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("ours")
    new.write_text("theirs")
    with pytest.raises(FileExistsError):
        rename_without_replacing(old, new)
    assert (old.read_text(), new.read_text()) == ("ours", "theirs")
    new.unlink()
    rename_without_replacing(old, new)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("new", "ours")]
    with pytest.raises(FileNotFoundError):
        rename_without_replacing(old, tmp_path / "third")


def _refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))
