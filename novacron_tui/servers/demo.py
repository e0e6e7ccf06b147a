"""The server of `novacron demo`: a simulated fleet in a temporary directory, of which nothing is left at the end.

It shares nothing with the bundled server: not its directory, database, hosts or accounts, and no profile is saved.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from novacron_core import errors
from novacron_core.local_server import make_private, read_running_server, verifier
from novacron_tui.servers.bundled import is_installed, last_log_line
from novacron_tui.servers.server_ref import OwnAccount, ServerRef

PROFILE = "demo"
NOTE = "Simulated fleet: nothing here touches this machine. q leaves and removes it"
_PREFIX = "novacron-demo-"
_LOCK = "demo.lock"
_START_S, _STOP_S = 90.0, 30.0
_IDLE_STOP_S = 10
"""Without a console, because that was killed, the server stops by itself that soon; the next demo removes its
directory."""
_YOUNG_S = 60.0
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_KEPT_VARIABLES = ("NOVACRON_PG_BINDIR", "NOVACRON_DATABASE_BUDGET_S")
"""All others are about servers of the operator's own."""


class Demo:
    """One demo with `vms` simulated VMs. `open` may be called again; `close` removes everything, and can be repeated."""

    def __init__(self, vms: int) -> None:
        self._vms = vms
        self._directory: Path | None = None
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._account = OwnAccount("demo", secrets.token_urlsafe(24))

    async def open(self) -> ServerRef:
        """Start the server if it does not run: it stops while the console is suspended. Raises ServerUnreachable with the
        reason."""
        if not is_installed():
            raise errors.ServerUnreachable("The server is not installed. Run pip install 'novacron[server]'")
        directory = self._directory = self._directory or self._make_directory()
        if self._process is None or self._process.poll() is not None:
            self._process = self._start(directory)
        url = await self._find_url(self._process, directory)
        return ServerRef(
            url,
            PROFILE,
            setup_token=lambda: _read(directory / "setup-token"),
            user=self._account.username,
            account=self._account,
            note=NOTE,
            verify=verifier(directory),
            known=False,
        )

    def _make_directory(self) -> Path:
        _sweep()
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        directory.chmod(0o711)  # PostgreSQL may run as another account
        return directory

    def _start(self, directory: Path) -> subprocess.Popen[bytes]:
        arguments = ["--bundled", "--idle-stop-s", str(_IDLE_STOP_S), "--simulated-vms", str(self._vms)]
        with (directory / "server.log").open("wb") as log:
            make_private(log.fileno())
            return subprocess.Popen(
                [sys.executable, "-m", "novacron_server", "--port", "0", "--data-dir", str(directory), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )

    async def _find_url(self, process: subprocess.Popen[bytes], directory: Path) -> str:
        """The server's URL once it listens. Raises ServerUnreachable."""
        until = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < until:
            if (running := read_running_server(directory)) is not None and running.pid == process.pid:
                return running.url
            await asyncio.sleep(0.05)
        raise errors.ServerUnreachable(f"The server of the demo has ended: {last_log_line(directory / 'server.log')}")

    def close(self) -> None:
        """Stop the server with its PostgreSQL, and remove the directory. A signal does not interrupt this. Blocking."""
        with _signals_ignored():
            if self._process is not None:
                _stop(self._process)
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
            if self._lock is not None:
                os.close(self._lock)
            self._directory = self._lock = None


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith("NOVACRON_") or name in _KEPT_VARIABLES
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its PostgreSQL too
        process.wait()


@contextmanager
def _signals_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sweep() -> None:
    """Remove what demos that were killed have left."""
    with suppress(OSError):
        for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            if _is_left(directory):
                shutil.rmtree(directory, ignore_errors=True)


def _is_left(directory: Path) -> bool:
    """Whether this is the directory of a demo of this account that has ended, and so has its server."""
    try:
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or read_running_server(directory):
            return False
        try:
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return time.time() - found.st_mtime > _YOUNG_S  # else it may be about to be locked
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(lock)
    except OSError:
        return False
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
