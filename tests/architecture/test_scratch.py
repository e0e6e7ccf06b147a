"""What a killed test run leaves behind is removed by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.scratch import remove_left, scratch


def test_directories_of_killed_processes_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"nv-{ended.pid}-left", f"nv-{os.getpid()}-mine", "nv-some-thing", "other"):
        (tmp_path / name / "postgres").mkdir(parents=True)
    remove_left(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"nv-{os.getpid()}-mine", "nv-some-thing", "other"]


def test_directory_is_there_until_the_end_of_the_block() -> None:
    with scratch() as path:
        assert path.is_dir()
        assert f"-{os.getpid()}-" in path.name
    assert not path.exists()
