"""What CI tries again starts anew, and what was not tried again keeps its fixtures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE = """
import pytest, pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")
opened, tries = [], []

@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage():
    opened.append(1)
    yield set()

async def test_first(storage):
    storage.add("first")

async def test_flaky(storage):
    assert "volume" not in storage, "the volume of the first try"
    storage.add("volume")
    tries.append(1)
    assert len(tries) == 2

async def test_last(storage):
    assert storage == {"volume"}
    assert len(opened) == 2
"""


def test_a_second_try_has_fresh_fixtures_of_its_module(tmp_path: Path) -> None:
    (tmp_path / "test_tries.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.reruns", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--reruns", "1", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert "3 passed, 1 rerun" in done.stdout, done.stdout
