"""The commands for scripts, on a real server: output, effects and exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD
from tests.support.command_line import Run, Server, one_line
from tests.support.fair_clock import fair_now
from tests.support.processes import NOVACRON
from tests.support.terminal import Terminal

DEAD = "http://127.0.0.1:9"


def state(run: Run) -> str:
    return str(json.loads(run("vm", "show", "test", "-o", "json").stdout)["state"])


def test_signing_in_creates_a_session_that_commands_use(run: Run, server: Server, home: Path) -> None:
    done = run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n")
    assert (done.returncode, "as ann, administrator" in done.stdout) == (0, True)
    table = run("vm", "ls", cold=True)
    assert table.returncode == 0
    assert table.stdout.splitlines()[0].split() == [
        "NAME",
        "STATE",
        "SINCE",
        "CPUS",
        "MEMORY",
        "HOST",
        "ADDRESSES",
        "ID",
    ]
    assert "\x1b" not in table.stdout
    assert [vm["name"] for vm in json.loads(run("vm", "ls", "-o", "json").stdout)] == ["test"]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in files if path.stat().st_size} == {0}
    assert not [path for path in files if PASSWORD in path.read_text()]
    assert run("logout").returncode == 0
    assert run("vm", "ls").returncode == 4


def test_wrong_password_is_refused(run: Run, server: Server) -> None:
    done = run("login", "--server", server.url, "--user", "ann", typed="wrong\n")
    assert (done.returncode, "Wrong user name or password" in one_line(done)) == (4, True)
    assert run("login", "--server", server.url, "--user", "ann", typed="\n").returncode == 2
    assert run("login", "--server", server.url, typed=PASSWORD).returncode == 2


def test_password_is_never_a_flag(run: Run) -> None:
    assert "--password" not in run("login", "--help").stdout


def test_token_and_url_need_no_profile(run: Run, server: Server, home: Path) -> None:
    who = {"NOVACRON_SERVER": server.url, "NOVACRON_TOKEN": server.token}
    assert run("vm", "ls", **who).returncode == 0
    assert run("vm", "ls", "--server", server.url, NOVACRON_TOKEN=server.token).returncode == 0
    assert run("--server", server.url, "--token", server.token, "host", "ls").returncode == 0
    assert run("vm", "ls", **{**who, "NOVACRON_TOKEN": "x"}).returncode == 4
    assert not list(home.rglob("profiles.toml"))


@pytest.mark.parametrize("command", [("vm", "ls"), ("volume", "ls")])
@pytest.mark.parametrize(
    ("words", "said"),
    [("colour:red", "unknown field colour"), ("x" * 600, "at most 500 characters"), ("name:", "a value is missing")],
)
def test_invalid_filter_is_reported_as_a_filter_error(
    signed_in: Run, command: tuple[str, str], words: str, said: str
) -> None:
    done = signed_in(*command, words)
    assert done.returncode == 1
    one_line(done)
    assert re.search(f'^novacron: invalid filter "{words}": .*({said})', done.stderr), done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["vm", "ls"], 2),
        (["vm", "ls", "--server", "nonsense"], 2),
        (["vm", "ls", "--server", "http://ann:secret@host"], 2),
        (["vm", "ls", "-o", "xml"], 2),
        (["vm", "start"], 2),
        (["vm", "fly", "away"], 2),
        (["vm", "ls", "--server", DEAD], 4),
        (["login", "--server", DEAD, "--user", "ann"], 3),
        (["events", "--server", DEAD, "--token"], 2),
        (["vm", "ls", "--profile", "nobody"], 1),
        (["vm", "create", "--name", "Not A Name", "--image", "alpine"], 2),
        (["vm", "create", "--name", "a", "--image", "alpine", "--memory", "much"], 2),
        (["vm", "create", "--name", "a", "--image", "alpine", "--tag", "x"], 2),
        (["vm", "create", "--name", "a", "--image", "alpine", "--tier", "tepid"], 2),
    ],
)
def test_exit_codes_without_a_server(run: Run, words: list[str], code: int) -> None:
    done = run(*words)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    one_line(done)


def test_unreachable_server_exits_with_3(run: Run) -> None:
    for words in (["vm", "ls"], ["vm", "start", "x"], ["events", "--watch"]):
        done = run(*words, NOVACRON_SERVER=DEAD, NOVACRON_TOKEN="x")
        assert (done.returncode, DEAD in one_line(done), done.stdout) == (3, True, "")


def test_power_action_waits_for_its_end_and_a_refusal_exits_with_1(signed_in: Run) -> None:
    assert state(signed_in) == "running"
    done = signed_in("vm", "pause", "test")
    assert done.returncode == 0
    assert done.stdout.startswith("test: paused in ")
    assert state(signed_in) == "paused"
    done = signed_in("vm", "resume", "test", "--no-wait", "-o", "json")
    assert done.returncode == 0
    operation = json.loads(done.stdout)[0]["operation"]["id"]
    assert operation in [op["id"] for op in json.loads(signed_in("op", "ls", "-o", "json").stdout)]


@pytest.mark.parametrize(
    ("verb", "into", "said"),
    [
        ("start", [], "is already running"),
        ("resume", [], "is not paused"),
        ("pause", ["pause"], "is already paused"),
        ("stop", ["power-off"], "is already stopped"),
        ("power-off", ["power-off"], "is already powered off"),
    ],
)
def test_repeated_power_action_is_no_failure(signed_in: Run, verb: str, into: list[str], said: str) -> None:
    for word in into:
        assert signed_in("vm", word, "test").returncode == 0
    before = state(signed_in)
    try:
        again = signed_in("vm", verb, "test", "-o", "json")
        assert again.returncode == 0
        (result,) = json.loads(again.stdout)
        assert (result["operation"], result["problem"], said in result["note"]) == (None, None, True)
        assert re.search(f"^novacron: test {said}; nothing to do$", one_line(again))
        assert signed_in("vm", verb, "test").stdout == ""
        assert state(signed_in) == before
    finally:
        signed_in("vm", "resume" if into == ["pause"] else "start", "test")
    assert state(signed_in) == "running"


def test_other_refusals_are_failures(signed_in: Run) -> None:
    assert signed_in("vm", "pause", "test").returncode == 0
    try:
        for verb, said in (("start", "resume it instead"), ("stop", "resume it first"), ("delete", "is unmanaged")):
            done = signed_in("vm", verb, "test", *(["--yes"] if verb == "delete" else []))
            assert (done.returncode, said in one_line(done)) == (1, True), done.stderr
    finally:
        assert signed_in("vm", "resume", "test").returncode == 0


def test_unknown_name_among_several_changes_nothing(signed_in: Run) -> None:
    before = state(signed_in)
    done = signed_in("vm", "power-off", "test", "nobody")
    assert (done.returncode, "nobody" in one_line(done)) == (1, True)
    assert state(signed_in) == before


def test_vm_is_found_by_its_id(signed_in: Run) -> None:
    vm = json.loads(signed_in("vm", "show", "test", "-o", "json").stdout)
    assert json.loads(signed_in("vm", "show", vm["id"].upper(), "-o", "json").stdout)["name"] == "test"
    assert signed_in("vm", "show", "00000000-0000-4000-8000-000000000000").returncode == 1


def test_vm_is_created_and_deleted(signed_in: Run, server: Server) -> None:
    words = ["--name", "cli-01", "--image", "alpine", "--tag", "role=web", "--tier", "cold", "--no-start"]
    made = signed_in("vm", "create", *words)
    assert made.returncode == 0, made.stderr
    shown = json.loads(signed_in("vm", "show", "cli-01", "-o", "json").stdout)
    assert (shown["state"], shown["tags"]) == ("stopped", {"role": "web"})
    assert {disk["tier"] for disk in shown["disks"]} == {"cold"}
    deletion = signed_in("vm", "delete", "cli-01")
    assert (deletion.returncode, "--yes" in one_line(deletion)) == (2, True)
    assert signed_in("vm", "delete", "cli-01", "--yes", "--disks").returncode == 0
    assert signed_in("vm", "show", "cli-01").returncode == 1


def test_deletion_asks_for_confirmation_on_a_terminal(signed_in: Run, environment: dict[str, str]) -> None:
    assert signed_in("vm", "create", "--name", "cli-02", "--image", "alpine", "--no-start").returncode == 0
    with Terminal([NOVACRON, "vm", "delete", "cli-02"], environment=environment) as terminal:
        terminal.see("Type cli-02")
        terminal.type("something else\r")
        assert terminal.wait_end(20) == 1
    assert signed_in("vm", "show", "cli-02").returncode == 0
    with Terminal([NOVACRON, "vm", "delete", "cli-02"], environment=environment) as terminal:
        terminal.see("Type cli-02")
        terminal.type("cli-02\r")
        terminal.see("deleted")
        assert terminal.wait_end(20) == 0


def test_list_commands(signed_in: Run) -> None:
    hosts = json.loads(signed_in("host", "ls", "-o", "json").stdout)
    assert [(host["status"], host["simulated"]) for host in hosts] == [("up", True)]
    shown = signed_in("host", "ls").stdout
    assert "simulated" in shown and "URI" in shown and "test:///" in shown
    assert "alpine" in signed_in("image", "ls").stdout
    assert len(json.loads(signed_in("op", "ls", "-o", "json", "--limit", "1").stdout)) <= 1
    assert json.loads(signed_in("vm", "ls", "no-such-vm", "-o", "json").stdout) == []


def test_events_are_json_lines_until_ctrl_c(signed_in: Run, environment: dict[str, str]) -> None:
    command = [NOVACRON, "events", "--watch", "-o", "json", "--after", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "no longer available" in process.stderr.readline(), "connected"
        assert signed_in("vm", "restart", "test").returncode == 0
        event = json.loads(process.stdout.readline())
        assert event["frame"] == "event"
        assert event["seq"] > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""


def test_proxies_of_the_environment_are_not_for_a_server_on_this_machine(signed_in: Run) -> None:
    proxies = {f"{name}_PROXY": "http://127.0.0.1:9" for name in ("HTTP", "HTTPS", "ALL", "SOCKS")}
    assert signed_in("vm", "ls", **proxies).returncode == 0
    assert signed_in("events", "--after", "1", "--count", "1", **proxies).returncode == 0


def test_closed_pipe_causes_no_traceback(signed_in: Run, environment: dict[str, str]) -> None:
    for words in ("vm ls -o json", "events --after 1", "op ls"):
        read, write = os.pipe()
        os.close(read)
        with subprocess.Popen(
            [NOVACRON, *words.split()], stdout=write, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            os.close(write)
            if words.startswith("events"):
                assert signed_in("vm", "restart", "test").returncode == 0
            assert process.wait(30) == 141
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()


def test_no_command_imports_textual(environment: dict[str, str]) -> None:
    """Keeps the commands quick: `--help` does not load the network libraries either."""
    import sys

    code = (
        "import sys; from novacron_tui.startup.command_line import app\n"
        "names = set(sys.modules); from novacron_tui.cli import changes, doctor, events, lists, sign_in\n"
        "from novacron_tui.cli.runtime import connect\n"
        "print('httpx' in names, [name for name in sys.modules if name.split('.')[0] in"
        " ('textual', 'libvirt', 'novacron_server', 'keyring')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False []"


def test_list_is_quick(signed_in: Run) -> None:
    took = []
    for _ in range(3):
        began = fair_now()
        assert signed_in("vm", "ls", cold=True).returncode == 0
        took.append(fair_now() - began)
    assert min(took) < 3, took
