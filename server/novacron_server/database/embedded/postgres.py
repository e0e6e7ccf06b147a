"""The supervisor of the embedded PostgreSQL: creates, starts and stops it, and restarts it when it dies.

It listens only on a Unix socket in a 0700 directory. The data survives a kill -9 of this server, of PostgreSQL, or of
both; the next start cleans up the leftovers.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import stat
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import psycopg
import structlog

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.embedded import binaries, cluster, os_account, stale_processes
from novacron_server.database.embedded.server_log import ServerLog
from novacron_server.lock_file import open_lock
from novacron_server.tasks import cancel_tasks

SOCKET_PATH_LIMIT = 107
"""Maximum length of a Unix socket's path in bytes. Source: unix(7), sun_path."""
CLAIM_S = 5.0
"""How long to wait for the data directory of a server that is shutting down."""
_TICK_S = 0.01
_logger = structlog.get_logger(__name__)


def default_runtime_dir(data_dir: Path) -> Path:
    """A directory for sockets with a short path, the same one at each start with this data directory."""
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:8]
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run/novacron") / digest
    session_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() != 0 and session_dir and os.access(session_dir, os.W_OK):
        return Path(session_dir) / "novacron" / digest
    return Path(f"/tmp/novacron-{os.geteuid()}-{digest}")  # noqa: S108 - _make_socket_dir() checks its owner


def _log_failed_restart(error: Exception, pause_s: float) -> None:
    known = isinstance(error, DatabaseUnavailable | OSError)
    _logger.error(
        "postgres_restart_failed", reason=str(error), next_try_in_s=pause_s, exc_info=None if known else error
    )


class EmbeddedPostgres:
    """One PostgreSQL server on `<data_dir>/postgres`, as an async context manager or through start() and stop().

    `durable=False` (tests and demos) trades safety against power failure for speed. `owner_url` is for migrations,
    `app_url` for everything else; both are libpq URLs.
    """

    def __init__(
        self,
        data_dir: Path,
        runtime_dir: Path | None = None,
        *,
        durable: bool = True,
        max_connections: int = 120,
        start_timeout_s: float = 30.0,
    ) -> None:
        self._data_dir = data_dir
        self._cluster = data_dir / "postgres"
        self._log = ServerLog(data_dir / "postgres.log")
        self._runtime_dir = runtime_dir or default_runtime_dir(data_dir)
        self._sockets = self._runtime_dir / "pg"
        self._durable = durable
        self._max_connections = max_connections
        self._start_timeout_s = start_timeout_s
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._programs: binaries.Programs | None = None
        self._role_passwords: cluster.RolePasswords | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.restarts = 0

    async def __aenter__(self) -> EmbeddedPostgres:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def owner_url(self) -> str:
        return self._url(cluster.OWNER)

    @property
    def app_url(self) -> str:
        return self._url(cluster.APPLICATION)

    @property
    def superuser_url(self) -> str:
        """For tests and backups only."""
        return self._url(cluster.SUPERUSER)

    @property
    def socket_dir(self) -> Path:
        """The directory of PostgreSQL's Unix socket."""
        return self._sockets

    @property
    def bindir(self) -> Path:
        """The directory with PostgreSQL's programs, e.g. pg_dump of the same version."""
        return self._require_programs().bindir

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the server, creating the cluster first if there is none. Raises DatabaseUnavailable."""
        self._prepare_data_dir()
        await self._claim()
        try:
            await self._prepare()
            await self._launch()
            await cluster.ensure_roles(self._passwords(), self._sockets)
        except psycopg.Error as exc:
            await self.stop()
            raise DatabaseUnavailable(f"PostgreSQL started but refused the connection: {exc}") from exc
        except BaseException:
            await self.stop()
            raise
        self._watcher = asyncio.create_task(self._watch(), name="embedded-postgres")

    async def stop(self) -> None:
        """Fast shutdown: open transactions are rolled back, all acknowledged commits are on disk. Idempotent."""
        await cancel_tasks([self._watcher])
        self._watcher = None
        if self._process is not None:
            await self._end(self._process)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _url(self, role: str) -> str:
        return self._passwords().url(role, self._sockets)

    def _passwords(self) -> cluster.RolePasswords:
        if self._role_passwords is None:
            raise DatabaseUnavailable("the embedded PostgreSQL is not running")
        return self._role_passwords

    def _require_programs(self) -> binaries.Programs:
        if self._programs is None:
            raise DatabaseUnavailable("the embedded PostgreSQL is not running")
        return self._programs

    def _prepare_data_dir(self) -> None:
        """Create it with mode 0711: other accounts can pass through to their own files, but list nothing."""
        try:
            os_account.make_reachable_directory(self._data_dir)
            if self._data_dir.stat().st_uid == os.geteuid():
                self._data_dir.chmod(0o711)
        except OSError as exc:
            raise DatabaseUnavailable(f"the data directory {self._data_dir} cannot be used: {exc.strerror}") from exc

    async def _claim(self) -> None:
        """Lock the data directory, waiting a little for a server that is shutting down. Raises DatabaseUnavailable."""
        self._lock = open_lock(self._data_dir / "postgres.lock")
        until = time.monotonic() + min(CLAIM_S, self._start_timeout_s)
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    self._lock.seek(0)
                    holder = self._lock.read(20).decode(errors="replace")
                    self._lock.close()
                    self._lock = None
                    detail = f"another NovaCron server (process {holder}) is using {self._data_dir}"
                    raise DatabaseUnavailable(detail) from None
            else:
                self._lock.truncate(0)
                self._lock.write(str(os.getpid()).encode())
                self._lock.flush()
                return
            await asyncio.sleep(_TICK_S)

    async def _prepare(self) -> None:
        account = await asyncio.to_thread(os_account.service_account, self._cluster)
        blocked = os_account.find_blocked_folder(account, self._data_dir)
        if blocked is not None and account is not None:
            raise DatabaseUnavailable(
                f"PostgreSQL runs as {account.name}, which cannot enter {blocked}. Use another --data-dir."
            )
        fresh = not self._cluster.exists()
        self._role_passwords = cluster.passwords(self._data_dir / "postgres.json", fresh=fresh)
        copies = self._data_dir / "postgres-programs"
        self._programs = await asyncio.to_thread(binaries.find, self._cluster, copies, account)
        if fresh:
            password = self._role_passwords.superuser
            await asyncio.to_thread(cluster.create, self._cluster, self._programs, password, durable=self._durable)
        self._make_socket_dir(account)

    def _make_socket_dir(self, account: os_account.OSAccount | None) -> None:
        """Create the socket's directory with mode 0700; refuse one that another user created."""
        longest = len(os.fsencode(self._sockets / ".s.PGSQL.5432.lock"))
        if longest > SOCKET_PATH_LIMIT:
            raise DatabaseUnavailable(f"the socket path {self._sockets} is too long. Use a shorter runtime directory.")
        os_account.make_reachable_directory(self._runtime_dir)
        found = self._runtime_dir.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
            raise DatabaseUnavailable(f"{self._runtime_dir} belongs to another user, or others can write to it")
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            os.chown(self._sockets, account.uid, account.gid)
        self._sockets.chmod(0o700)
        blocked = os_account.find_blocked_folder(account, self._sockets)
        if blocked is not None:
            raise DatabaseUnavailable(f"PostgreSQL cannot enter {blocked}. Use another runtime directory.")

    async def _launch(self) -> None:
        """Start the postmaster and wait until it accepts connections.

        Retries while the processes of a killed predecessor still hold its shared memory.
        """
        until = time.monotonic() + self._start_timeout_s
        while True:
            await stale_processes.end_stale_processes(self._cluster)
            self._process = self._spawn()
            if await self._wait_until_ready(self._process, until):
                return
            if self._process.poll() is None or time.monotonic() > until - 1 or not self._is_blocked():
                await self._end(self._process)
                raise DatabaseUnavailable(f"PostgreSQL did not start: {self._log.last_error()}")
            await asyncio.sleep(0.1)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open() as log:
            return self._require_programs().start("postgres", *self._options(), log=log)

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "max_connections": str(self._max_connections),
            "shared_buffers": "64MB",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] ",
            "logging_collector": "off",
            "password_encryption": "scram-sha-256",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}  # commits still survive a kill of the process
        return [
            "-D",
            str(self._cluster),
            *(part for key, value in settings.items() for part in ("-c", f"{key}={value}")),
        ]

    async def _wait_until_ready(self, process: subprocess.Popen[bytes], until: float) -> bool:
        while time.monotonic() < until and process.poll() is None:
            if stale_processes.is_ready(self._cluster, process.pid):
                return True
            await asyncio.sleep(_TICK_S / 2)
        return False

    def _is_blocked(self) -> bool:
        """Whether PostgreSQL did not start because of a predecessor that is still ending."""
        error = self._log.last_error()
        return "shared memory block" in error or "postmaster.pid" in error or "lock file" in error

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        for stop_signal, timeout_s in stale_processes.STOPPING:
            if process.poll() is not None:
                return
            process.send_signal(stop_signal)
            until = time.monotonic() + timeout_s
            while process.poll() is None and time.monotonic() < until:  # noqa: ASYNC110 - a process sets no Event
                await asyncio.sleep(_TICK_S)

    async def _watch(self) -> None:
        """Restart PostgreSQL whenever it dies, with increasing delays, and limit the size of its log."""
        pause_s = 0.1
        while True:
            await asyncio.sleep(0.2)
            self._log.rotate_if_full()
            if self._process is None or self._process.poll() is None:
                pause_s = 0.1
                continue
            _logger.error("postgres_died", status=self._process.returncode, reason=self._log.last_error())
            try:
                await self._launch()
                self.restarts += 1
            except Exception as exc:  # noqa: BLE001 - any error must be followed by another attempt
                _log_failed_restart(exc, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 10.0)
