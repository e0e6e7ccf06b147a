"""Creates a database cluster on disk, completely or not at all, with random passwords for an owner and an app role."""

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
from novacron_server.database.connector import Connector
from novacron_server.database.embedded.binaries import Programs
from novacron_server.database.private_files import write_private

DATABASE = "novacron"
SUPERUSER = "postgres"
OWNER = "novacron_owner"
APPLICATION = "novacron_app"
_CONNECT_S = 15.0


@dataclass(frozen=True, slots=True)
class RolePasswords:
    """The passwords of the three roles, stored in a 0600 file of the data directory, never in a command line or log."""

    superuser: str
    owner: str
    application: str

    def url(self, role: str, socket_dir: Path, database: str = DATABASE) -> str:
        """A libpq URL for one of the roles over the Unix socket."""
        password = {SUPERUSER: self.superuser, OWNER: self.owner, APPLICATION: self.application}[role]
        return f"postgresql://{role}:{password}@/{database}?host={quote(str(socket_dir), safe='')}"


def passwords(file: Path, *, fresh: bool) -> RolePasswords:
    """Read the password file, or create it when the cluster does not exist yet (`fresh`).

    Raises DatabaseUnavailable when the cluster exists but the file is missing or corrupt.
    """
    try:
        return RolePasswords(**json.loads(file.read_text()))
    except FileNotFoundError:
        if not fresh:
            raise DatabaseUnavailable(f"{file} is missing. Restore it: it contains the database passwords.") from None
    except (ValueError, TypeError):
        if not fresh:
            raise DatabaseUnavailable(f"{file} is corrupt. Restore it: it contains the database passwords.") from None
    created = RolePasswords(*(secrets.token_urlsafe(32) for _ in range(3)))
    write_private(file, json.dumps(asdict(created)))
    return created


def create(cluster: Path, programs: Programs, superuser_password: str, *, durable: bool = True) -> None:
    """Create the cluster in a temporary directory and rename it, so that a crash never leaves half of it. Blocking."""
    for leftover in cluster.parent.glob(f".{cluster.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = cluster.with_name(f".{cluster.name}-{secrets.token_hex(4)}")
    draft.mkdir(mode=0o700)
    password_file = draft / "password"
    write_private(password_file, superuser_password)
    if programs.account is not None:
        for path in (draft, password_file):
            os.chown(path, programs.account.uid, programs.account.gid)
    programs.run("initdb", "-D", str(draft / "pg"), f"--pwfile={password_file}", *_options(programs, durable))
    (draft / "pg").rename(cluster)
    shutil.rmtree(draft, ignore_errors=True)


def _options(programs: Programs, durable: bool) -> list[str]:
    options = ["-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--no-instructions", "--auth=scram-sha-256"]
    if not durable:
        return [*options, "--no-sync"]
    return [*options, "--sync-method=syncfs"] if programs.major >= 17 else options


async def ensure_roles(role_passwords: RolePasswords, socket_dir: Path) -> None:
    """Create missing roles and the database. Idempotent: after a crash half way, the next start completes it."""
    connector = Connector(role_passwords.url(SUPERUSER, socket_dir, "postgres"), budget_s=_CONNECT_S)
    async with await connector.open(autocommit=True) as conn:
        await _ensure_role(conn, OWNER, role_passwords.owner)
        await _ensure_role(conn, APPLICATION, role_passwords.application)
        found = await conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if await found.fetchone() is None:
            name, owner = sql.Identifier(DATABASE), sql.Identifier(OWNER)
            await conn.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
            await conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
            await conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(APPLICATION)))


async def _ensure_role(conn: psycopg.AsyncConnection[tuple[object, ...]], role: str, password: str) -> None:
    found = await conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    if await found.fetchone() is not None:
        return
    # Only the verifier is sent, so the password cannot end up in PostgreSQL's log.
    verifier = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    await conn.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier.decode()))
    )
