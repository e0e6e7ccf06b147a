"""The bundled server: joined when it runs for this data directory, started as a child process when it does not.

It is started in a session of its own and outlives this console: another one may have joined. It stops by itself.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path

from novacron_core import errors
from novacron_core.local_server import read_running_server
from novacron_core.values.names import why_not_username
from novacron_tui.servers.profiles import LOCAL, write_private
from novacron_tui.servers.saved_session import saved_session_of_bundled
from novacron_tui.servers.server_ref import ServerRef

_START_S = 90.0
_LISTENING = "listening on "
_LAST_USER = "last-user"


def is_installed() -> bool:
    """Whether the `server` extra is there. Its package folder always is, so a dependency of it is asked for."""
    return importlib.util.find_spec("litestar") is not None


class Bundled:
    """`arguments` are passed on to the server."""

    def __init__(self, data_dir: Path, arguments: tuple[str, ...] = ()) -> None:
        self._data_dir = data_dir
        self._arguments = arguments

    async def open(self) -> ServerRef:
        """Where the server of this data directory listens. Raises ServerUnreachable with the reason it does not."""
        if not is_installed():
            raise errors.ServerUnreachable(
                "the server is not installed here: pip install 'novacron[server]', or name one with --server URL"
            )
        running = read_running_server(self._data_dir)
        url = running.url if running else await self._start()
        kept = saved_session_of_bundled(self._data_dir)
        return ServerRef(
            url, LOCAL, setup_token=self._setup_token, user=self._last_user(), kept=kept, remember=self._remember
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
            log_path.chmod(0o600)
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
                url = await _listening(process)
        except TimeoutError as e:
            process.terminate()
            raise errors.ServerUnreachable(f"the server did not start within {_START_S:.0f} s: see {log_path}") from e
        if url:
            return url
        # Another console may have been quicker: then its server holds the directory.
        running = read_running_server(self._data_dir)
        if running:
            return running.url
        raise errors.ServerUnreachable(f"the server did not start: {_last_words(log_path)}")

    def _setup_token(self) -> str | None:
        try:
            return (self._data_dir / "setup-token").read_text().strip()
        except OSError:
            return None

    def _last_user(self) -> str:
        """Who signed in last: beside the accounts it is one of, for a data directory that is made anew has none."""
        try:
            name = (self._data_dir / _LAST_USER).read_text()
        except (OSError, UnicodeDecodeError):
            return ""
        return "" if why_not_username(name) else name

    def _remember(self, user: str) -> None:
        write_private(self._data_dir / _LAST_USER, user)


async def _listening(process: asyncio.subprocess.Process) -> str | None:
    """The URL of its first line; None when it ended without one."""
    stdout = process.stdout
    while stdout is not None and (line := await stdout.readline()):
        text = line.decode(errors="replace").strip()
        if text.startswith(_LISTENING):
            return text.removeprefix(_LISTENING)
    return None


def _last_words(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1]} (more in {log_path})" if lines else f"see {log_path}"
