"""Fixtures for the command line: one real server on the simulator, and a user with an empty home."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD, administrator
from tests.support.command_line import Run, Server
from tests.support.forking_novacron import ForkingNovacron
from tests.support.processes import NOVACRON, serve
from tests.support.scratch import scratch


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """`novacron serve` on libvirt's simulator, with the administrator ann. All tests share it and restore its state."""
    import asyncio

    with (
        scratch() as folder,
        serve(folder, "--sign-ins-per-minute", "10000", "--sockets-per-minute", "10000") as (url, _),
    ):
        yield Server(url, asyncio.run(administrator(url, folder)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """An environment without the real user's home, NOVACRON_* variables and desktop."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("NOVACRON_", "XDG_", "DBUS_", "PYTHON_KEYRING"))}
    return {**ours, "HOME": str(home), "NOVACRON_DATA_DIR": str(home / "no-data")}


@pytest.fixture(scope="session")
def warm() -> Iterator[ForkingNovacron]:
    with ForkingNovacron() as made:
        yield made


@pytest.fixture
def run(environment: dict[str, str], warm: ForkingNovacron) -> Run:
    """Runs `novacron …` to its end, and fails on a traceback. `cold`, or with variables that Python itself reads at
    its start, a new Python process runs it."""

    def novacron(*words: str, typed: str = "", cold: bool = False, **more: str) -> subprocess.CompletedProcess[str]:
        whole = {**environment, **more}
        if cold or any(name.startswith("PYTHON") for name in more):
            done = subprocess.run(
                [NOVACRON, *words], input=typed, capture_output=True, text=True, timeout=60, env=whole
            )
        else:
            done = warm.run(words, whole, typed, timeout_s=60)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return novacron


@pytest.fixture
def signed_in(run: Run, server: Server) -> Run:
    done = run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    return run
