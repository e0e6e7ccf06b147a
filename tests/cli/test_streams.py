"""Standard streams that the caller closed, and bytes that are no text: one sentence, never an internal error."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.command_line import Run, Server, one_line
from tests.support.processes import NOVACRON


def in_shell(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `novacron` as `$N` in a line of the shell."""
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, env={**environment, "N": NOVACRON}
    )


@pytest.mark.parametrize("words", ["vm ls", "vm ls -o json", "--help", "doctor", "login --user ann", ""])
def test_closed_output_is_refused_before_anything_is_done(environment: dict[str, str], words: str) -> None:
    done = in_shell(f"$N {words} >&-", environment)
    assert (done.returncode, "standard output is closed" in one_line(done)) == (2, True)


def test_closed_input_and_errors_are_no_fault(signed_in: Run, environment: dict[str, str], server: Server) -> None:
    assert in_shell("$N vm ls <&-", environment).returncode == 0
    silent = in_shell("$N vm ls 2>&-", environment)
    assert (silent.returncode, silent.stdout.startswith("NAME"), silent.stderr) == (0, True, "")
    refused = in_shell("$N vm show no-such 2>&-", environment)
    assert (refused.returncode, refused.stdout) == (1, ""), "an error never goes to stdout"
    for line, said in (
        (f"$N login --server {server.url} --user ann <&-", "a password is required"),
        ("$N vm delete test <&-", "add --yes"),
        ("$N <&-", "needs a terminal"),
    ):
        done = in_shell(line, environment)
        assert (done.returncode, said in one_line(done)) == (2, True), (line, done)
    assert in_shell("$N vm ls <&- >&- 2>&-", environment).returncode == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (r"vm ls $'\xff'", "FILTER"),
        (r"vm show $'\xff'", "name"),
        (r"vm stop good $'\xff'", "NAME"),
        (r"vm ls --profile $'\xff'", "--profile"),
        (r"volume ls $'tier:\xff'", "FILTER"),
        (r"login --user $'\xff'", "--user"),
        (r"vm create --name a --image b --description $'\xff'", "--description"),
        (r"vm create --name a --image b --tag k=$'\xff'", "--tag"),
    ],
)
def test_argument_that_is_no_text_is_refused(environment: dict[str, str], words: str, named: str) -> None:
    done = in_shell(f"$N {words}", {**environment, "NOVACRON_SERVER": "http://127.0.0.1:9", "NOVACRON_TOKEN": "x"})
    assert (done.returncode, re.search(f"{named}.* is not valid UTF-8", one_line(done)) is not None) == (2, True)


@pytest.mark.parametrize("name", ["NOVACRON_SERVER", "NOVACRON_PROFILE", "NOVACRON_TOKEN"])
def test_variable_that_is_no_text_is_refused(environment: dict[str, str], name: str) -> None:
    done = in_shell(rf"{name}=$'x\xff' $N vm ls", environment)
    assert (done.returncode, name in one_line(done)) == (2, True), done.stderr


def test_path_may_have_any_bytes(signed_in: Run, environment: dict[str, str]) -> None:
    done = in_shell(r"$N image upload $'/no/\xff.qcow2' --name x", environment)
    assert (done.returncode, "No such file" in one_line(done)) == (2, True), done.stderr
