"""Servers as processes: started, killed and stopped by a test, each with its first administrator."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import msgspec
import psutil
import psycopg
from psycopg import sql

from novacron_core.local_server import KEY, LOCK, RunningServer, make_proof, read_running_server
from novacron_server.database.embedded import cluster
from novacron_server.database.embedded.postgres import default_runtime_dir
from novacron_server.database.private_files import read_or_create_secret
from novacron_server.lock_file import open_lock
from tests.support.accounts import administrator
from tests.support.database_budget import DEFAULT_BUDGET
from tests.support.fair_clock import fair_now
from tests.support.waiting import until


@dataclass(frozen=True)
class Running:
    url: str
    token: str
    data_dir: Path
    pid: int


@contextmanager
def server(*arguments: str) -> Iterator[Running]:
    """`python -m novacron_server` on a free port and an empty data directory, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="novacron-bench-", dir="/var/tmp") as name:
        data_dir = Path(name)
        data_dir.chmod(0o711)
        with serve_process(data_dir, *arguments) as url:
            yield running(url, data_dir)


def running(url: str, data_dir: Path) -> Running:
    """A server just started on an empty data directory, with its first administrator."""
    found = read_running_server(data_dir)
    assert found is not None
    return Running(url, asyncio.run(administrator(url, data_dir, "bench")), data_dir, found.pid)


@contextmanager
def serve_process(
    data_dir: Path, *arguments: str, module: str = "novacron_server", environment: dict[str, str] | None = None
) -> Iterator[str]:
    """Run a server process without rate limits on a data directory, which also gets its log. Yields its URL."""
    limits = ["--requests-per-minute", "100000000", "--sign-ins-per-minute", "100000", "--sockets-per-minute", "100000"]
    command = [sys.executable, "-m", module, "--port", "0", "--data-dir", str(data_dir), *limits]
    with (data_dir / "server.log").open("wb") as log:
        process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=log, env=environment)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip().removeprefix("listening on ")
            if not url:
                raise RuntimeError((data_dir / "server.log").read_text())
            yield url
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(30)


def pretend_to_run(data_dir: Path, url: str) -> IO[bytes]:
    """Register this process as the server of a data directory, until the returned lock is closed."""
    lock = open_lock(data_dir / LOCK)
    (data_dir / "server.json").write_bytes(msgspec.json.encode(RunningServer(url=url, pid=os.getpid())))
    return lock


class PretendedServer:
    """This process as the server of a data directory, which answers nothing but the request for its proof.

    With `key` it proves that key instead of the one in the directory; `asked` are the requests that it got.
    """

    def __init__(self, data_dir: Path, key: str = "", port: int = 0) -> None:
        asked = self.asked = list[str]()
        secret = read_or_create_secret(data_dir / KEY)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(f"{self.command} {self.path.split('?')[0]}")
                nonce = self.path.partition("nonce=")[2]
                body = json.dumps(
                    {"proof": make_proof(key or secret, nonce, self.connection.getsockname()[1])}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._lock = pretend_to_run(data_dir, self.url)

    def close(self) -> None:
        self._lock.close()
        self._http.shutdown()
        self._http.server_close()


def stop_server(data_dir: Path, *, how: signal.Signals = signal.SIGTERM) -> None:
    """Stop the server of a data directory, and wait until it has ended."""
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
    raise AssertionError("the server does not stop")


def rows(data_dir: Path, table: str) -> int:
    """The number of rows in a table of this data directory's running database."""
    url = cluster.passwords(data_dir / "postgres.json", fresh=False).url(
        cluster.APPLICATION, default_runtime_dir(data_dir) / "pg"
    )
    with psycopg.connect(url) as connection:
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
    assert found is not None
    return int(found[0])


NOVACRON = str(Path(sys.executable).with_name("novacron"))


@contextmanager
def serve(
    data_dir: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    hosts: Sequence[str] = ("test:///default",),
) -> Iterator[tuple[str, int]]:
    """Run `novacron serve --port 0`; yields (URL, pid). SIGTERM must end it orderly."""
    command = [
        NOVACRON,
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
        *(word for uri in hosts for word in ("--hypervisor", uri)),
        *arguments,
    ]
    with (data_dir / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            assert line.startswith("listening on http"), (data_dir / "log").read_text()
            yield line.removeprefix("listening on "), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


class ServerProcess:
    """`novacron serve` as a process that can be restarted on the same data."""

    def __init__(self, data_dir: Path, uri: str) -> None:
        self.data_dir = data_dir
        limits = ["--requests-per-minute", "10000000", *DEFAULT_BUDGET]
        self._command = [sys.executable, "-m", "novacron_server", "--port", "0", "--data-dir", str(data_dir), *limits]
        self._command += ["--hypervisor", uri]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with (self.data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

        async def listening() -> bool | None:
            assert self._process is not None
            assert self._process.poll() is None, (self.data_dir / "server.log").read_text()[-2000:]
            running = read_running_server(self.data_dir)
            if running is None or running.pid != self._process.pid:
                return None
            with suppress(httpx.TransportError):
                return True if httpx.get(f"{running.url}/livez").status_code == 200 else None
            return None

        await until(listening, 30)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def kill_database(self) -> None:
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            if child.name() == "postgres":
                child.send_signal(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
