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
        Path(name).chmod(0o711)
        command = [sys.executable, "-m", "novacron_server", "--port", "0", "--data-dir", name]
        limits = [
            "--requests-per-minute",
            "100000000",
            "--sign-ins-per-minute",
            "100000",
            "--sockets-per-minute",
            "100000",
        ]
        log = Path(name, "server.log").open("wb")
        process = subprocess.Popen([*command, *limits, *arguments], stdout=subprocess.PIPE, stderr=log)
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode().strip().removeprefix("listening on ")
            if not url:
                raise RuntimeError(Path(name, "server.log").read_text())
            yield Running(url, asyncio.run(_administrator(url, Path(name))), Path(name), process.pid)
        finally:
            os.kill(process.pid, signal.SIGTERM)
            process.wait(30)
            log.close()


async def _administrator(url: str, data_dir: Path) -> str:
    token = (data_dir / "setup-token").read_text().strip()
    async with Client(url) as client:
        await client.call(access.REGISTER, body=access.Register(username="bench", password=PASSWORD, setup_token=token))
        return (await client.sign_in("bench", PASSWORD)).token
