"""`novacron console`: what it leaves of the operator's terminal, and what it reads when that is not one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from novacron_tui.terminal.window import KEEP_TITLE, RESTORE_TITLE
from tests.support.terminal import Terminal

COMMAND = [sys.executable, "-m", "tests.support.console.raw_in_a_terminal"]


def test_after_leaving_the_shell_goes_on_below_what_was_printed() -> None:
    with Terminal(COMMAND, environment={"TERM": "xterm-256color"}) as terminal:
        terminal.see("two", 20)
        assert terminal.screen.title == "a title of the guest"
        terminal.send("\x1d")
        terminal.see("left the console", 20)
        assert terminal.wait_end(20.0) == 0
        lines = terminal.text().splitlines()
        last = max(at for at, line in enumerate(lines) if line.strip())
        assert "left the console" in lines[last]
        assert terminal.screen.cursor.y > last
        assert terminal.written.count(KEEP_TITLE.encode()) == terminal.written.count(RESTORE_TITLE.encode()) == 1


def test_without_input_it_prints_and_ends() -> None:
    done = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (done.returncode, b"two" in done.stdout) == (0, True), done.stderr


def test_input_from_a_file_is_typed(tmp_path: Path) -> None:
    words = b"".join(b"line %d\n" % number for number in range(2000))
    (tmp_path / "input").write_bytes(words)
    with (tmp_path / "input").open("rb") as file:
        done = subprocess.run(COMMAND, stdin=file, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
