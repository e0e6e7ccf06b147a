"""Questions on the terminal: the first Ctrl+C ends each of them, and leaves the terminal as it was."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD
from tests.support.certificates import self_signed
from tests.support.command_line import Run, Server, one_line
from tests.support.processes import NOVACRON
from tests.support.proxies import canned
from tests.support.terminal import Terminal

LOGIN = ["login", "--server"]


def interrupt(words: list[str], environment: dict[str, str], prompts: list[str], typed: str = "") -> str:
    """Run a command up to the last of these prompts, press Ctrl+C once, and return the screen after its end."""
    with Terminal([NOVACRON, *words], columns=200, environment=environment) as terminal:
        for number, prompt in enumerate(prompts):
            terminal.see(prompt)
            if number < len(prompts) - 1:
                terminal.type(typed)
        terminal.press("ctrl+c")
        assert terminal.wait_end(20) == 130
        assert terminal.echoes()
        terminal.settle()
        return terminal.text()


def test_first_ctrl_c_ends_the_question_for_the_user(environment: dict[str, str], server: Server) -> None:
    assert "internal error" not in interrupt([*LOGIN, server.url], environment, ["User: "])


def test_first_ctrl_c_ends_the_question_for_the_password(environment: dict[str, str], server: Server) -> None:
    screen = interrupt([*LOGIN, server.url], environment, ["User: ", "Password for ann: "], "ann\r")
    assert "novacron:" not in screen


def test_end_of_the_input_is_no_answer(environment: dict[str, str], server: Server) -> None:
    with Terminal([NOVACRON, *LOGIN, server.url], columns=200, environment=environment) as terminal:
        terminal.see("User: ")
        terminal.press("ctrl+d")
        assert terminal.wait_end(20) == 2
        terminal.settle()
        assert "the input ended without an answer" in terminal.text()


@pytest.mark.parametrize("words", [LOGIN, ["--server"]])
async def test_first_ctrl_c_ends_the_question_for_a_certificate(
    environment: dict[str, str], tmp_path: Path, words: list[str]
) -> None:
    async with canned(b"", self_signed(tmp_path, "one").server_context()) as port:
        url = f"https://127.0.0.1:{port}"
        await asyncio.to_thread(interrupt, [*words, url], environment, [r"Trust it from now on\? \[y/N\]"])


@pytest.fixture
def stopped_vm(signed_in: Run) -> Iterator[str]:
    assert signed_in("vm", "create", "--name", "cli-int", "--image", "alpine", "--no-start").returncode == 0
    yield "cli-int"
    assert signed_in("vm", "delete", "cli-int", "--disks", "--yes").returncode == 0


def test_first_ctrl_c_ends_the_question_before_a_deletion(
    signed_in: Run, environment: dict[str, str], stopped_vm: str
) -> None:
    interrupt(["vm", "delete", stopped_vm], environment, [f"Type {stopped_vm} to confirm"])
    assert signed_in("vm", "show", stopped_vm).returncode == 0


def test_first_ctrl_c_ends_the_question_before_a_volume_goes(signed_in: Run, environment: dict[str, str]) -> None:
    assert signed_in("volume", "create", "cli-vol", "--size", "1M").returncode == 0
    interrupt(["volume", "delete", "cli-vol"], environment, ["Type cli-vol to confirm"])
    assert signed_in("volume", "delete", "cli-vol", "--yes").returncode == 0


def test_first_interrupt_ends_waiting_for_a_password_on_stdin(environment: dict[str, str], server: Server) -> None:
    read, write = os.pipe()
    with subprocess.Popen(
        [NOVACRON, *LOGIN, server.url, "--user", "ann"], stdin=read, stderr=subprocess.PIPE, env=environment
    ) as process:
        os.close(read)
        while not _waits_for_stdin(process.pid):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        os.close(write)


def _waits_for_stdin(pid: int) -> bool:
    """Whether the process is in read(0, …). Source: proc(5), /proc/pid/syscall."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[:2] == ["0", "0x0"]


@pytest.mark.parametrize("code", ["utf-8", "ascii"])
def test_password_that_is_no_text_is_refused(environment: dict[str, str], server: Server, code: str) -> None:
    done = subprocess.run(
        [NOVACRON, *LOGIN, server.url, "--user", "ann"], input=b"\xff\xfe\n", capture_output=True, timeout=60,
        env={**environment, "PYTHONIOENCODING": "utf-8" if code == "utf-8" else "utf-8:surrogateescape"},
    )  # fmt: skip
    said = subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert (said.returncode, "the password on stdin is not valid UTF-8" in one_line(said)) == (2, True)


def test_answers_still_work(run: Run, environment: dict[str, str], server: Server) -> None:
    with Terminal([NOVACRON, *LOGIN, server.url], environment=environment) as terminal:
        terminal.see("User: ")
        terminal.type("ann\r")
        terminal.see("Password for ann: ")
        terminal.type(f"{PASSWORD}\r")
        terminal.see("Signed in to")
        assert terminal.wait_end(20) == 0
    assert run("vm", "ls").returncode == 0


def test_image_that_is_no_regular_file_is_refused(signed_in: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.qcow2")
    done = signed_in("image", "upload", str(tmp_path / "pipe.qcow2"))
    assert (done.returncode, "is not a regular file" in one_line(done)) == (2, True)
