"""Commands with several names: one request, a line for each VM, and the way to stop the rest."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import administrator
from tests.support.command_line import Run, Server, one_line
from tests.support.node_files import write_node
from tests.support.processes import NOVACRON, serve

PAUSED, RUNNING, OTHER, STOPPED = "build-00015", "web-00010", "db-00011", "cache-00012"


@pytest.fixture
def server(work_folder: Path) -> Iterator[Server]:
    """`novacron serve` on a simulated fleet of 24. Resets wait until the file `release` exists in its folder."""
    waits = {"NOVACRON_FAILPOINTS": "vm.reset:began=pause", "NOVACRON_FAILPOINT_RELEASE": str(work_folder / "release")}
    with serve(work_folder, hosts=[write_node(work_folder / "node.xml", 24)], environment=waits) as (url, _):
        yield Server(url, asyncio.run(administrator(url, work_folder)))


def test_each_of_several_names_has_its_line_and_one_refusal_is_the_exit_code(signed_in: Run, server: Server) -> None:
    on = ("--server", server.url)
    done = signed_in("vm", "stop", *on, RUNNING, PAUSED, STOPPED)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"{RUNNING}: shut down in ")
    assert f"novacron: {PAUSED} is paused: resume it first, or power it off\n" in done.stderr
    assert f"novacron: {STOPPED} is already stopped; nothing to do\n" in done.stderr
    again = signed_in("vm", "stop", *on, RUNNING, STOPPED)
    assert (again.returncode, again.stdout) == (0, ""), "a script that repeats itself has nothing to do"
    listed = signed_in("op", "ls", *on, "bulk").stdout
    assert listed.count("vm.stop (bulk)") == 2

    as_json = signed_in("vm", "start", *on, RUNNING, PAUSED, "-o", "json")
    assert as_json.returncode == 1
    first, second = json.loads(as_json.stdout)
    assert (first["name"], first["operation"]["state"]) == (RUNNING, "succeeded")
    assert (second["name"], second["problem"]["detail"]) == (PAUSED, f"{PAUSED} is paused: resume it instead")


def test_unknown_name_touches_nothing_and_no_wait_names_the_operation(signed_in: Run, server: Server) -> None:
    on = ("--server", server.url)
    done = signed_in("vm", "stop", *on, RUNNING, "nobody")
    assert (done.returncode, "nobody" in done.stderr) == (1, True)
    assert signed_in("op", "ls", *on).stdout.count("\n") == 1
    done = signed_in("vm", "pause", *on, RUNNING, OTHER, "--no-wait")
    assert done.returncode == 0
    assert done.stdout.startswith("2 VMs: pausing, operation ")


def test_ctrl_c_says_that_the_server_goes_on_and_how_to_stop_the_rest(
    signed_in: Run, environment: dict[str, str], server: Server, work_folder: Path
) -> None:
    on = ("--server", server.url)
    names = [line.split()[0] for line in signed_in("vm", "ls", *on, "state:running").stdout.splitlines()[1:]]
    process = subprocess.Popen(
        [NOVACRON, "vm", "reset", *on, STOPPED, *names], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stderr is not None
    assert STOPPED in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGINT)
    assert err.startswith("novacron: the server goes on with these 17 VMs; `novacron op cancel "), err
    bulk = err.partition("op cancel ")[2].partition("`")[0]
    done = signed_in("op", "cancel", bulk, *on)
    assert (done.returncode, done.stdout) == (0, "17 VMs: stopped; 4 still running, 12 cancelled\n"), done.stderr
    (work_folder / "release").touch()
    refused = signed_in("op", "cancel", bulk, *on)
    assert refused.returncode == 1
    assert "cancel" in one_line(refused)
