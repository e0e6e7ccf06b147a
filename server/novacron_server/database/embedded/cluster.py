"""A database cluster on disk: made whole or not at all, with random passwords, an owner role and an application role."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.embedded.binaries import Programs
from novacron_server.database.private_files import write_private

DATABASE = "novacron"
SUPERUSER = "postgres"
OWNER = "novacron_owner"
APPLICATION = "novacron_app"


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """Of the three roles. Kept in a 0600 file of the data directory, never in a command line or log."""

    superuser: str
    owner: str
    application: str

    def url(self, role: str, socket_dir: Path, database: str = DATABASE) -> str:
        """A libpq URL for one of the roles through the Unix socket."""
        password = {SUPERUSER: self.superuser, OWNER: self.owner, APPLICATION: self.application}[role]
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(socket_dir), safe='')}"


def passwords(file: Path, *, fresh: bool) -> RolePasswords:
    """Read the file, or write it when the cluster is still to be made (`fresh`).

    Raises DatabaseUnavailable when it is gone or damaged while the data is there.
    """
    try:
        return RolePasswords(**json.loads(file.read_text()))
    except FileNotFoundError:
        if not fresh:
            raise DatabaseUnavailable(f"{file} is missing, and without it the database cannot be opened") from None
    except (ValueError, TypeError):
        if not fresh:
            raise DatabaseUnavailable(f"{file} is damaged, and without it the database cannot be opened") from None
    made = RolePasswords(*(secrets.token_urlsafe(32) for _ in range(3)))
    write_private(file, json.dumps(asdict(made)))
    return made


def create(cluster: Path, programs: Programs, superuser_password: str, *, durable: bool = True) -> None:
    """Make the cluster beside its place and move it there, so that a crash never leaves half a one. Blocking."""
    for left in cluster.parent.glob(f".{cluster.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    room = cluster.with_name(f".{cluster.name}-{secrets.token_hex(4)}")
    room.mkdir(mode=0o700)
    word = room / "word"
    write_private(word, superuser_password)
    if programs.account is not None:
        for path in (room, word):
            os.chown(path, programs.account.uid, programs.account.gid)
    programs.run("initdb", "-D", str(room / "pg"), f"--pwfile={word}", *_options(programs, durable))
    (room / "pg").rename(cluster)
    shutil.rmtree(room, ignore_errors=True)


def _options(programs: Programs, durable: bool) -> list[str]:
    plain = ["-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-instructions", "--auth=scram-sha-256"]
    if not durable:
        return [*plain, "--no-sync"]
    return [*plain, "--sync-method=syncfs"] if programs.major >= 17 else plain


async def ensure_roles(words: RolePasswords, socket_dir: Path) -> None:
    """Make the roles and the database where they are missing. Idempotent: a crash half way is mended by the next start."""
    connect = psycopg.AsyncConnection.connect
    async with await connect(words.url(SUPERUSER, socket_dir, "postgres"), autocommit=True) as conn:
        await _role(conn, OWNER, words.owner)
        await _role(conn, APPLICATION, words.application)
        found = await conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if await found.fetchone() is None:
            name, owner = sql.Identifier(DATABASE), sql.Identifier(OWNER)
            await conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
            await conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            await conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(APPLICATION)))


async def _role(conn: psycopg.AsyncConnection[tuple[object, ...]], role: str, password: str) -> None:
    found = await conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    if await found.fetchone() is not None:
        return
    # Only the verifier travels, so the password cannot end up in PostgreSQL's log.
    verifier = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    await conn.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
    )
