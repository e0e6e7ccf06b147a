"""Completion in the shell: names come from the server, and nothing is said when that fails."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
import typer

from novacron_server.__main__ import app as server_app
from novacron_tui.cli.runtime import completion
from novacron_tui.cli.runtime.deadline import result_within
from novacron_tui.cli.serve_flags import SERVE_FLAGS
from novacron_tui.terminal.themes import THEMES
from tests.support.command_line import Run
from tests.support.proxies import listen
from tests.support.waiting import wait_until


def complete(run: Run, line: str, **more: str) -> list[str]:
    """What is offered at the end of a line; nothing when the server needs longer than completion waits for it."""
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_NOVACRON_COMPLETE": "complete_bash"}
    done = run(**{**variables, **more})
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("novacron vm show te", ["test"]),
        ("novacron vm pause ", ["test"]),
        ("novacron vm start ", []),  # it runs
        ("novacron vm pause test ", []),  # it is given already
        ("novacron vm show nothing", []),
        ("novacron vm show te*", []),
        ("novacron vm create --image al", ["alpine"]),
        ("novacron image delete al", ["alpine"]),
        ("novacron vm create --tier ", ["hot", "warm", "cold"]),
        ("novacron volume create x --tier=w", ["warm"]),
        ("novacron volume create x --format ", ["qcow2", "raw"]),
        ("novacron volume move x c", ["cold"]),
        ("novacron pool set-tier x no", ["none"]),
        ("novacron --profile 127", ["127.0.0.1"]),
        ("novacron vm ls --profile lo", ["local"]),
        ("novacron --theme co", ["contrast", "colour-blind"]),
        ("novacron serve --tls-", ["--tls-cert", "--tls-key"]),
        ("novacron serve --host 0.0.0.0 --tls-c", ["--tls-cert"]),
    ],
)
def test_values_are_completed(signed_in: Run, line: str, offered: list[str]) -> None:
    wait_until(lambda: complete(signed_in, line) == offered, 30)


def test_hosts_and_volumes_are_completed(signed_in: Run) -> None:
    (host,) = [host["name"] for host in json.loads(signed_in("host", "ls", "-o", "json").stdout)]
    wait_until(lambda: complete(signed_in, f"novacron volume create x --host {host[:2]}") == [host], 30)
    assert signed_in("volume", "create", "to-complete", "--size", "1M").returncode == 0
    wait_until(lambda: complete(signed_in, "novacron volume resize to-c") == ["to-complete"], 30)
    assert signed_in("volume", "delete", "to-complete", "--yes").returncode == 0
    assert complete(signed_in, "novacron volume resize to-c") == []


def test_server_of_the_line_is_asked(run: Run, signed_in: Run) -> None:
    assert complete(signed_in, "novacron --server http://127.0.0.1:9 vm show te") == []
    assert complete(signed_in, "novacron vm show --server http://127.0.0.1:9 te") == []


@pytest.mark.parametrize(
    "more",
    [
        {},  # not signed in, no server
        {"NOVACRON_SERVER": "http://127.0.0.1:9", "NOVACRON_TOKEN": "x"},
        {"NOVACRON_SERVER": "nonsense", "NOVACRON_TOKEN": "x\n"},
        {"NOVACRON_PROFILE": "nobody"},
    ],
)
def test_nothing_is_said_when_there_are_no_names(run: Run, more: dict[str, str]) -> None:
    assert complete(run, "novacron vm show te", **more) == []


async def test_server_that_does_not_answer_is_given_up(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listen(silent) as port:
        url = f"http://127.0.0.1:{port}"
        assert await asyncio.to_thread(
            lambda: complete(run, "novacron vm show te", NOVACRON_SERVER=url, NOVACRON_TOKEN="x")
        ) == []  # fmt: skip


def test_work_that_takes_too_long_ends_in_the_background(tmp_path: Path) -> None:
    """A session that is being renewed is saved, though nobody waits for it any more."""
    may_end, saved = tmp_path / "may-end", tmp_path / "saved"

    def work() -> list[str]:
        while not may_end.exists():
            time.sleep(0.01)
        saved.touch()
        return ["late"]

    assert result_within(0.1, work) == []
    assert not saved.exists()
    may_end.touch()
    wait_until(saved.exists)
    assert result_within(30, lambda: ["a", "b"]) == ["a", "b"]
    assert result_within(30, lambda: 1 / 0) == []  # type: ignore[arg-type, return-value]  # it fails


def test_flags_of_the_server_are_all_known() -> None:
    params = typer.main.get_command(server_app).params
    flags = {
        max(param.opts, key=len): getattr(param, "help", "") for param in params if not getattr(param, "hidden", False)
    }
    flags.pop("--help", None)
    assert flags == SERVE_FLAGS, "copy the flag and its help to novacron_tui/cli/serve_flags.py, and run `make manual`"


def test_themes_are_all_known() -> None:
    assert {f"novacron-{name}" for name in completion.theme_names("")} == {theme.name for theme in THEMES}
