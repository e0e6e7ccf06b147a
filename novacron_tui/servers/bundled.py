"""The bundled server: used when it already runs for this data directory, else started as a child process.

It runs in its own process session and outlives this console, since another console may use it. It stops when idle.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

from novacron_core import errors
from novacron_core.local_server import make_private, read_running_server, require_proof, verifier
from novacron_core.values.names import why_not_username
from novacron_tui.servers.profiles import LOCAL, write_private
from novacron_tui.servers.saved_session import saved_session_of_bundled
from novacron_tui.servers.server_ref import ServerRef

_START_S = 90.0
_LISTENING = "listening on "
_LAST_USER = "last-user"


def is_installed() -> bool:
    """Whether the `server` extra is installed. Checks a dependency, because the package folder is always there."""
    return importlib.util.find_spec("litestar") is not None


class Bundled:
    """The bundled server of a data directory. `arguments` are passed to the server."""

    def __init__(self, data_dir: Path, arguments: tuple[str, ...] = ()) -> None:
        self._data_dir = data_dir
        self._arguments = arguments

    async def open(self) -> ServerRef:
        """The server of this data directory, started if needed. Raises ServerUnreachable with the reason."""
        if not is_installed():
            raise errors.ServerUnreachable(
                "The server is not installed. Run pip install 'novacron[server]', or use --server URL"
            )
        running = read_running_server(self._data_dir)
        if running:
            await asyncio.to_thread(require_proof, running, self._data_dir)
        url = running.url if running else await self._start()
        kept = saved_session_of_bundled(self._data_dir)
        return ServerRef(
            url,
            LOCAL,
            setup_token=self._setup_token,
            user=self._last_user(),
            kept=kept,
            remember=self._remember,
            verify=verifier(self._data_dir),
        )

    async def _start(self) -> str:
        self._data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "novacron_server",
            "--bundled",
            "--port",
            "0",
            "--data-dir",
            str(self._data_dir),
        ]
        log_path = self._data_dir / "server.log"
        with log_path.open("ab") as log:
            make_private(log.fileno())
            process = await asyncio.create_subprocess_exec(
                *command,
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(_START_S):
                url = await _read_url(process)
        except TimeoutError as e:
            process.terminate()
            raise errors.ServerUnreachable(f"The server did not start within {_START_S:.0f} s. See {log_path}") from e
        if url:
            return url
        # Another console may have started a server at the same time, which then holds the directory lock.
        running = read_running_server(self._data_dir)
        if running:
            await asyncio.to_thread(require_proof, running, self._data_dir)
            return running.url
        raise errors.ServerUnreachable(f"The server did not start: {last_log_line(log_path)}")

    def _setup_token(self) -> str | None:
        try:
            return (self._data_dir / "setup-token").read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def _last_user(self) -> str:
        """The user who signed in last. Stored in the data directory, so that a new directory has none."""
        try:
            name = (self._data_dir / _LAST_USER).read_text()
        except (OSError, UnicodeDecodeError):
            return ""
        return "" if why_not_username(name) else name

    def _remember(self, user: str) -> None:
        write_private(self._data_dir / _LAST_USER, user)


async def _read_url(process: asyncio.subprocess.Process) -> str | None:
    """The URL that the process prints; None when it ended without one."""
    stdout = process.stdout
    while stdout is not None and (line := await stdout.readline()):
        text = line.decode(errors="replace").strip()
        if text.startswith(_LISTENING):
            return text.removeprefix(_LISTENING)
    return None


def last_log_line(log_path: Path) -> str:
    """Why a server has ended, as far as its log says, and where to read more."""
    lines = log_path.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1]} (more in {log_path})" if lines else f"see {log_path}"
