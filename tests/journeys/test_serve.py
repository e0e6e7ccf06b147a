"""`novacron serve` and the command line, as seen by scripts and by consoles on other machines."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from novacron_core.api import health
from novacron_core.client import Client
from novacron_core.local_server import read_running_server
from novacron_server.database.embedded.stale_processes import postmaster_pid
from tests.support.accounts import administrator
from tests.support.processes import NOVACRON, serve
from tests.support.terminal import Terminal


def test_server_listens_on_a_free_port_and_its_setup_token_is_private(data_dir: Path) -> None:
    with serve(data_dir) as (url, pid):
        token = data_dir / "setup-token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o711
        running = read_running_server(data_dir)
        assert running is not None
        assert (running.url, running.pid) == (url, pid)
        assert url.startswith("http://127.0.0.1:")
        asyncio.run(administrator(url, data_dir))
        assert not token.exists()
    assert read_running_server(data_dir) is None


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_server_and_its_database_in_order(data_dir: Path, how: signal.Signals) -> None:
    """A copy of the data directory that is made after it must be usable, so PostgreSQL has ended before the server."""
    command = [NOVACRON, "serve", "--port", "0", "--data-dir", str(data_dir), "--hypervisor", "test:///default"]
    with (data_dir / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, preexec_fn=_default_sigint)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"listening")
    postmaster = postmaster_pid(data_dir / "postgres")
    assert postmaster is not None and Path(f"/proc/{postmaster}").exists()
    process.send_signal(how)
    assert process.wait(20) == (0 if how is signal.SIGTERM else 130)
    assert not Path(f"/proc/{postmaster}").exists()
    assert not (data_dir / "server.json").exists()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()
    log_text = (data_dir / "log").read_text()
    assert not [word for word in ("postponed", "PostgreSQL", "Traceback") if word in log_text], log_text


def _default_sigint() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_token_opens_the_list_directly(data_dir: Path) -> None:
    with serve(data_dir) as (url, _):
        token = asyncio.run(administrator(url, data_dir))
        with Terminal([NOVACRON, "--server", url], environment={"NOVACRON_TOKEN": token}) as terminal:
            terminal.see("LIVE.*ann", 20)
            terminal.see("test .*running")
            terminal.see("SIMULATED")
        with Terminal([NOVACRON, "--server", url], environment={"NOVACRON_TOKEN": "expired"}) as terminal:
            terminal.see("(?i)sign in", 20)


def test_second_server_on_the_same_data_names_the_first(data_dir: Path) -> None:
    with serve(data_dir) as (url, _):
        second = subprocess.run(
            [NOVACRON, "serve", "--port", "0", "--data-dir", str(data_dir)], capture_output=True, text=True, timeout=30
        )
    assert second.returncode == 1
    assert url in second.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--tls-cert", "x.pem"], "must be given together"),
        (["--virtualization", "magic"], "kvm or qemu"),
        (["--port", "70000"], "port"),
        (["--port", "many"], "port"),
        (["--settings", "/nowhere"], "cannot read /nowhere"),
        (["word"], "extra argument"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_invalid_settings_are_refused_with_the_reason(data_dir: Path, arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [NOVACRON, "serve", "--data-dir", str(data_dir), *arguments], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.startswith("novacron serve: ")
    assert done.stderr.count("\n") == 1, "one line, as for every novacron command"


def test_disallowed_uri_is_refused(data_dir: Path) -> None:
    uri = "qemu+ssh://host/system?command=/bin/sh"
    done = subprocess.run(
        [NOVACRON, "serve", "--data-dir", str(data_dir), "--hypervisor", uri],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_failpoints_are_refused_in_production(data_dir: Path) -> None:
    environment = {**os.environ, "NOVACRON_FAILPOINTS": "x=crash"}
    command = [NOVACRON, "serve", "--data-dir", str(data_dir), "--production"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert (done.returncode, "cannot be used with --production" in done.stderr) == (2, True)


def test_settings_come_from_the_environment_and_the_settings_file(data_dir: Path) -> None:
    settings = data_dir / "settings.toml"
    settings.write_text("open-registration = true\n")
    with serve(data_dir, "--settings", str(settings)) as (url, _):
        assert asyncio.run(registration(url)) == "open"
    with serve(data_dir, environment={"NOVACRON_OPEN_REGISTRATION": "0"}) as (url, _):
        assert asyncio.run(registration(url)) == "closed"


async def registration(url: str) -> str:
    async with Client(url) as client:
        return (await client.call(health.INFO)).registration


def test_console_without_a_terminal_says_so() -> None:
    done = subprocess.run([NOVACRON], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "terminal" in done.stderr


def test_help_is_quick_and_plain() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "novacron_server", "--help"], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0
    assert "--hypervisor" in done.stdout
