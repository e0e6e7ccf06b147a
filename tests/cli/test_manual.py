"""The manual page: as new as the commands, well-formed, and part of the wheel."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/novacron.1"


def test_manual_has_the_commands_of_today() -> None:
    written = runpy.run_path(str(ROOT / "tools/manual.py"))["page"]()
    assert PAGE.read_text() == written, "run `make manual`"
    for words in (".SS novacron vm stop", "force\\-after", ".SS novacron login", "behind\\-proxy", ".SH EXIT STATUS"):
        assert words in written


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_manual_is_well_formed() -> None:
    command = ["groff", "-man", "-Tascii", "-P-cbou", "-ww", str(PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert "novacron vm stop NAME" in done.stdout


def test_manual_is_part_of_the_wheel() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert build["wheel"]["shared-data"] == {"docs/novacron.1": "share/man/man1/novacron.1"}
    assert "/docs" in build["sdist"]["include"], "a wheel may be built from it"
