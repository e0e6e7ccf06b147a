"""Steps that journeys have in common, by key presses and by looking at the host."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import libvirt
import psycopg
from psycopg import sql

from novacron_core.local_server import read_running_server
from novacron_server.database.embedded import cluster
from novacron_server.database.embedded.postgres import default_runtime_dir
from tests.fair_clock import fair_now
from tests.terminal import Terminal

PASSWORD = "quiet harbour seventeen lanterns"


def stop_server(data_dir: Path, *, how: signal.Signals = signal.SIGTERM) -> None:
    """End the server of a data directory, and see it gone."""
    running = read_running_server(data_dir)
    if running is None:
        return
    os.kill(running.pid, how)
    deadline = fair_now() + 30
    while fair_now() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(running.pid, os.WNOHANG)
        try:
            os.kill(running.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the server does not end")


def rows(data_dir: Path, table: str) -> int:
    """How many rows a table of this data directory's running database has."""
    url = cluster.passwords(data_dir / "postgres.json", fresh=False).url(
        cluster.APPLICATION, default_runtime_dir(data_dir) / "pg"
    )
    with psycopg.connect(url) as connection:
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert found is not None
    return int(found[0])


def soon(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait until it holds."""
    deadline = fair_now() + timeout_s
    while not holds():
        assert fair_now() < deadline, f"not so within {timeout_s:.0f} s"
        time.sleep(0.05)


def own_pools(connection: libvirt.virConnect, data_dir: Path) -> list[libvirt.virStoragePool]:
    """The pools below this data directory."""
    return [pool for pool in connection.listAllStoragePools() if str(data_dir) in pool.XMLDesc()]


def make_administrator(terminal: Terminal, name: str = "ann") -> None:
    """The first-run form, by keys, as far as the empty list."""
    terminal.see("create the first administrator", 60)
    terminal.press("shift+tab", "ctrl+u")
    terminal.type(name)
    terminal.press("enter")
    for _ in range(2):
        terminal.type(PASSWORD)
        terminal.press("enter")
    terminal.press("enter")
    terminal.see(f"LIVE.*{name}", 20)


def sign_in_again(terminal: Terminal, name: str = "ann") -> None:
    """The sign-in form where this user signed in last: the cursor is in the password already."""
    terminal.see("Sign in", 60)
    terminal.see(f"User.*{name}")
    terminal.type(PASSWORD)
    terminal.press("enter")
    terminal.see(f"LIVE.*{name}", 20)


def sign_in(terminal: Terminal, name: str = "ann") -> None:
    """The sign-in form, by keys."""
    terminal.see("Sign in", 60)
    terminal.type(name)
    terminal.press("enter")
    terminal.type(PASSWORD)
    terminal.press("enter")
    terminal.see(f"LIVE.*{name}", 20)
