"""A server process for measuring, with its first administrator signed in."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from novacron_core.api import access
from novacron_core.client import Client
from novacron_core.local_server import read_running_server

PASSWORD = "quiet harbour seventeen lanterns"


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
    """A server that was just started on an empty data directory, with its first administrator."""
    found = read_running_server(data_dir)
    assert found is not None
    return Running(url, asyncio.run(administrator(url, data_dir)), data_dir, found.pid)


@contextmanager
def serve_process(
    data_dir: Path, *arguments: str, module: str = "novacron_server", environment: dict[str, str] | None = None
) -> Iterator[str]:
    """A server process without rate limits on a data directory; yields its URL. Its log is in there."""
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


async def administrator(url: str, data_dir: Path) -> str:
    """Makes the first administrator of an empty server; returns an access token."""
    token = (data_dir / "setup-token").read_text().strip()
    async with Client(url) as client:
        await client.call(access.REGISTER, body=access.Register(username="bench", password=PASSWORD, setup_token=token))
        return (await client.sign_in("bench", PASSWORD)).token
