"""Which Unix account PostgreSQL runs as. It refuses to run as root, so a root server hands it to a service user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SERVICE_USERS = ("novacron", "postgres")


@dataclass(frozen=True, slots=True)
class OSAccount:
    """A Unix account other than our own. Only root can run programs as one."""

    name: str
    uid: int
    gid: int


def service_account(cluster: Path) -> OSAccount | None:
    """The account for PostgreSQL, None for ourselves (whenever we are not root).

    The owner of an existing cluster wins, so that a user created later does not lock us out of our own data. Then
    `novacron`, `postgres`, a system user `novacron` made on the spot, and `nobody` where none can be made.
    """
    if os.geteuid() != 0:
        return None
    return _owner(cluster) or _existing() or _created() or _from(pwd.getpwnam("nobody"))


def may_enter(account: OSAccount | None, directory: Path) -> Path | None:
    """The first parent (or the directory) that the account cannot pass through, None when the way is free."""
    uid, gid = (account.uid, account.gid) if account else (os.geteuid(), os.getegid())
    for part in (*reversed(directory.resolve().parents), directory.resolve()):
        found = part.stat()
        shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
        if uid and not (found.st_mode >> shift) & 0o1:
            return part
    return None


def make_reachable_directory(directory: Path) -> None:
    """Make a directory and its missing parents, 0711 whatever our umask, so that PostgreSQL's account passes through."""
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


def _existing() -> OSAccount | None:
    for name in SERVICE_USERS:
        try:
            return _from(pwd.getpwnam(name))
        except KeyError:
            continue
    return None


def _created() -> OSAccount | None:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        return None
    wanted = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    made = subprocess.run([*wanted, "--shell", "/usr/sbin/nologin", "novacron"], capture_output=True, check=False)
    return _existing() if made.returncode == 0 else None


def _from(entry: pwd.struct_passwd) -> OSAccount:
    return OSAccount(entry.pw_name, entry.pw_uid, entry.pw_gid)
