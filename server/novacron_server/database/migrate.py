"""Upgrades the database schema to this version. Several servers may start at once; one of them does the work."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from psycopg import sql

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database import faults, schema_rights
from novacron_server.database.connector import BlockingSession, Connector, parse_url

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6E6F7661  # "nova"
_LOCK_TIMEOUT = "60s"

CONNECT_S = 10.0


def head() -> str:
    """The newest revision of this version; a revision is the number with which its file name starts."""
    return max(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def migrate(
    owner_url: str,
    app_url: str | None = None,
    *,
    role: str = "",
    search_path: str = "",
    budget_s: float = CONNECT_S,
) -> None:
    """Upgrade the schema to `head()`, and grant the application's role its rights. Idempotent and safe to run in parallel.

    `role` is the application's, default: the one that `app_url` names. `budget_s` limits the time for connecting.
    Raises DatabaseUnavailable when the database cannot be reached, has the schema of a newer NovaCron, or lacks a right.
    """
    role = role or (str(parse_url(app_url).get("user") or "") if app_url else "")
    owner = Connector(owner_url, budget_s=budget_s, search_path=search_path)
    try:
        await asyncio.to_thread(_migrate, owner, role)
    except faults.Fault as exc:
        raise _describe(exc) from exc


def _describe(exc: BaseException) -> DatabaseUnavailable:
    """A sentence with PostgreSQL's own message: without the SQL, and without SQLAlchemy's address."""
    found = faults.at_start(exc)
    message = faults.primary_message(exc)
    if isinstance(found, DatabaseUnavailable) or not message:
        return DatabaseUnavailable(found.detail)
    return DatabaseUnavailable(f"the database schema could not be upgraded: {message} ({faults.sqlstate(exc)})")


def _migrate(owner: Connector, role: str) -> None:
    # A session lock: migrations commit one by one, and with a transaction lock, servers starting in parallel crashed.
    with owner.open_blocking(application="novacron-migrate", autocommit=True) as guard:
        guard.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
        guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        own_role = schema_rights.current_role(guard)
        found = _revision(guard)
        outdated = found != head()
        grants = bool(role) and role != own_role
        schema_rights.check_before_upgrade(guard, fresh=found is None, upgrade=outdated, grants=grants)
        if outdated:
            _upgrade(owner)
        if grants:
            _grant(guard, role)
        schema_rights.check_use(guard, role or own_role)


def _revision(guard: BlockingSession) -> str | None:
    """The revision of the schema, None for an empty one. Raises DatabaseUnavailable for one that is not for us."""
    if guard.execute("SELECT to_regclass(quote_ident(current_schema()) || '.alembic_version')").fetchone() == (None,):
        return None
    schema_rights.check_reading(guard, "alembic_version")
    row = guard.execute("SELECT version_num FROM alembic_version").fetchone()
    found = str(row[0]) if row else None
    if found is not None and not re.fullmatch(r"[0-9]{4}", found):
        raise DatabaseUnavailable(
            f"the schema {schema_rights.current_schema(guard)} has the tables of another program: create a schema or a "
            "database for NovaCron"
        )
    if found is not None and found > head():
        raise DatabaseUnavailable(
            f"the database has the schema {found} of a newer NovaCron; this version supports up to {head()}"
        )
    return found


def _upgrade(owner: Connector) -> None:
    from alembic import command  # imported here, so that a start without migrations does not wait for it
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: owner.open_blocking(application="novacron-migrate"), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _grant(guard: BlockingSession, role: str) -> None:
    app = sql.Identifier(role)
    with guard.transaction():
        schema = sql.SQL("SCHEMA ") + sql.Identifier(schema_rights.current_schema(guard))
        guard.execute(sql.SQL("GRANT USAGE ON {} TO {}").format(schema, app))
        guard.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN {} FROM {}").format(schema, app))
        guard.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN {} TO {}").format(schema, app))
        for table, rights in schema_rights.RIGHTS.items():
            guard.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), app))
        for function in schema_rights.FUNCTIONS:
            guard.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), app))
