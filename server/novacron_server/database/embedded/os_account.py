"""The Unix account for PostgreSQL. It refuses to run as root, so a root server runs it as a service user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SERVICE_USER = "novacron"
_CREATE_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class OSAccount:
    """A Unix account other than our own. Only root can run programs as another account."""

    name: str
    uid: int
    gid: int


def service_account(cluster: Path) -> OSAccount | None:
    """The account for PostgreSQL; None for our own account, when we are not root.

    The owner of an existing cluster comes first, so that a user created later cannot lock us out of our own data. Then
    the system user `novacron`, created if needed, and `nobody` when it cannot be created. Never the account of the
    system's own PostgreSQL: whoever is that would own our files.
    """
    if os.geteuid() != 0:
        return None
    return _owner(cluster) or _service_user() or _create_user() or _from(pwd.getpwnam("nobody"))


def find_blocked_folder(account: OSAccount | None, directory: Path) -> Path | None:
    """The first folder on the way to `directory`, or itself, that the account cannot enter; None when it can enter all."""
    uid, gid = (account.uid, account.gid) if account else (os.geteuid(), os.getegid())
    for part in (*reversed(directory.resolve().parents), directory.resolve()):
        found = part.stat()
        shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
        if uid and not (found.st_mode >> shift) & 0o1:
            return part
    return None


def make_reachable_directory(directory: Path) -> None:
    """Create a directory and its missing parents with mode 0711, so that PostgreSQL's account can enter them."""
    for part in (*reversed(directory.parents), directory):
        try:
            part.mkdir()
        except FileExistsError:
            continue
        part.chmod(0o711)


def _owner(cluster: Path) -> OSAccount | None:
    try:
        uid = cluster.stat().st_uid
        return _from(pwd.getpwuid(uid)) if uid else None
    except (FileNotFoundError, KeyError):
        return None


def _service_user() -> OSAccount | None:
    try:
        return _from(pwd.getpwnam(SERVICE_USER))
    except KeyError:
        return None


def _create_user() -> OSAccount | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    for attempt in range(_CREATE_ATTEMPTS):  # another server that starts may hold the lock of the account files
        time.sleep(0.2 * attempt)
        subprocess.run([*command, "--shell", "/usr/sbin/nologin", SERVICE_USER], capture_output=True, check=False)
        if (user := _service_user()) is not None:
            return user
    return None


def _from(entry: pwd.struct_passwd) -> OSAccount:
    return OSAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
