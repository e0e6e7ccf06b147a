"""What an external PostgreSQL must be able to do, checked before anything is made in it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psycopg
import structlog

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database import faults
from novacron_server.database.connector import DEDICATED, POOL, Connector, Session
from novacron_server.database.refusals import quoted

_log = structlog.get_logger(__name__)
_ROUNDS = 3
_PID = "SELECT pg_backend_pid()"
_FACTS = """
SELECT current_database(), current_user, current_setting('transaction_read_only') = 'on', current_schema(),
    quote_ident(current_schema()), current_setting('search_path')"""
_LIMIT = """
SELECT least(current_setting('max_connections')::int, nullif(rolconnlimit, -1), nullif(datconnlimit, -1))
FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()"""
_FIRST_SCHEMA = """
SELECT name, to_regnamespace(quote_ident(name)) IS NOT NULL FROM (
    SELECT unnest(parse_ident(split_part(replace(current_setting('search_path'), '"$user", ', ''), ',', 1))) AS name
) AS first"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tables are: `search_path` in SQL finds them; `schema` is their schema's name. `role` works on them."""

    schema: str
    search_path: str
    role: str


async def find_place(app_url: str, owner_url: str, budget_s: float, connections: int = POOL) -> Place:
    """Check the database as both roles, and find the schema that both use. `connections` is the size of the pool.

    That is the schema of the owner, whose migrations make the tables, unless the URL of the application gives a search
    path. Raises DatabaseUnavailable with what is wrong and what to do.
    """
    needed = connections + DEDICATED
    app = Connector(app_url, budget_s=budget_s, needed=needed)
    owner = Connector(owner_url, budget_s=budget_s, search_path=app.search_path, needed=needed)
    if app.search_path and owner.search_path not in ("", app.search_path):
        raise DatabaseUnavailable("--database-owner-url and --database-url give different search paths: give the same")
    try:
        async with asyncio.timeout(max(4 * budget_s, 10.0)):
            async with await app.open(autocommit=True) as session:
                await _refuse_shared_sessions(app, session)
                database, role = await _check_writable(session)
                await _warn_of_few_connections(session, needed)
                if owner_url == app_url:
                    return Place(*await _schema(session, role), role)
            async with await owner.open(autocommit=True) as session:
                await _refuse_shared_sessions(owner, session)
                found, owner_role = await _check_writable(session)
                if found != database:
                    raise DatabaseUnavailable(
                        f"--database-owner-url names the database {found}, and --database-url {database}: give the same"
                    )
                return Place(*await _schema(session, owner_role), role)
    except TimeoutError as exc:
        raise faults.translate(faults.Expired()) from exc
    except faults.Fault as exc:
        raise faults.at_start(exc) from exc


async def _check_writable(session: Session) -> tuple[str, str]:
    """The names of the database and of the role."""
    row = await (await session.execute(_FACTS)).fetchone()
    assert row is not None
    if row[2]:
        raise DatabaseUnavailable(
            f"the database {row[0]} is read-only (a standby, or default_transaction_read_only is on): give the address of "
            "the primary server"
        )
    return row[0], row[1]


async def _warn_of_few_connections(session: Session, needed: int) -> None:
    """A server starts with a few, and is refused more under load."""
    row = await (await session.execute(_LIMIT)).fetchone()
    if row is not None and row[0] < needed:
        _log.warning(
            "the database allows too few connections: lower --database-connections", allowed=row[0], needed=needed
        )


async def _schema(session: Session, role: str) -> tuple[str, str]:
    row = await (await session.execute(_FACTS)).fetchone()
    assert row is not None
    if row[3] is not None:
        return row[3], row[4]
    first = await (await session.execute(_FIRST_SCHEMA)).fetchone()
    name, exists = first or ("public", False)
    grant = f"GRANT USAGE, CREATE ON SCHEMA {quoted(name)} TO {quoted(role)}"
    if exists:
        raise DatabaseUnavailable(f"the role {role} may not use the schema {name}: run {grant}")
    raise DatabaseUnavailable(
        f"the schema {name} of the search path does not exist: run CREATE SCHEMA {quoted(name)} AUTHORIZATION {quoted(role)}"
    )


async def _refuse_shared_sessions(connector: Connector, session: Session) -> None:
    """Raises DatabaseUnavailable when a pooler gives each transaction another session of PostgreSQL.

    Behind a pooler, the process that serves a connection is not the one that the connection was told about. A pooler in
    transaction mode gives the process that this session used last to another session, or this one another process.
    """
    if await _pid(session) == session.info.backend_pid:
        return
    async with await connector.open() as other:
        for _ in range(_ROUNDS):
            if await _share_a_process(session, other):
                raise DatabaseUnavailable(
                    "the database is reached through a connection pooler in transaction mode, which has no session locks "
                    "and no LISTEN: give the address of PostgreSQL itself, or set the pooler to session mode"
                )


async def _share_a_process(session: Session, other: Session) -> bool:
    before = await _pid(session)
    try:
        in_transaction = await _pid(other)
        shared = in_transaction == before or await _pid(session) != before
        await other.rollback()
    except psycopg.errors.ProtocolViolation:  # pgbouncer in statement mode refuses transactions
        return True
    return shared


async def _pid(session: Session) -> int:
    try:
        row = await (await session.execute(_PID)).fetchone()
    except psycopg.errors.InvalidSqlStatementName:
        return -1  # the statement was prepared in another session
    assert row is not None
    return int(row[0])
