"""Which server runs on a data directory: the lock says so, not a file that a crash leaves behind."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from novacron_core.local_server import LOCK, read_running_server
from novacron_server.lock_file import open_lock
from tests.support.processes import pretend_to_run

URL = "http://127.0.0.1:5"


def test_holder_of_the_lock_is_the_running_server(tmp_path: Path) -> None:
    lock = pretend_to_run(tmp_path, URL)
    running = read_running_server(tmp_path)
    assert running is not None
    assert (running.url, running.pid) == (URL, os.getpid())
    lock.close()
    assert read_running_server(tmp_path) is None, "the process still runs, and is not the server any more"


def test_program_with_the_number_of_a_dead_server_gets_no_password(tmp_path: Path) -> None:
    """The number of a server that was killed belongs to another program now, which may listen at its port."""
    stranger = subprocess.Popen(["sleep", "60"], user=65534 if os.geteuid() == 0 else None)
    try:
        pretend_to_run(tmp_path, URL).close()
        (tmp_path / "server.json").write_text(f'{{"url": "{URL}", "pid": {stranger.pid}}}')
        assert read_running_server(tmp_path) is None
        (tmp_path / LOCK).unlink()
        assert read_running_server(tmp_path) is None
    finally:
        stranger.kill()
        stranger.wait()


def as_nobody(ask: Callable[[], object]) -> object:
    """The answer to a question that another user's process asks."""
    ours, theirs = multiprocessing.Pipe()

    def child() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            theirs.send(ask())
        except OSError as e:
            theirs.send(e)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    answer: object = ours.recv()
    process.join(30)
    return answer


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_other_user_cannot_hold_the_lock(data_dir: Path) -> None:
    lock = pretend_to_run(data_dir, URL)
    opened = as_nobody(lambda: (data_dir / LOCK).open("rb").close())
    lock.close()
    assert isinstance(opened, PermissionError)


def test_old_lock_file_that_anybody_could_open_becomes_private(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch(mode=0o644)
    open_lock(tmp_path / LOCK).close()
    assert stat.S_IMODE((tmp_path / LOCK).stat().st_mode) == 0o600
