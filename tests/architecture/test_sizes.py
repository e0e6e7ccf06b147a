"""How long a file and a function may be. `make check` lists what is long; what fails here is too long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_too_long() -> None:
    command = [sys.executable, str(ROOT / "tools" / "sizes.py")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "files" in told.stdout


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * 501)
    (tmp_path / "function.py").write_text("def f() -> None:\n" + "    pass\n" * 81)
    command = [sys.executable, str(ROOT / "tools" / "sizes.py"), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "long.py: 501 lines" in told.stderr
    assert "function.py: f: 82 lines" in told.stderr
