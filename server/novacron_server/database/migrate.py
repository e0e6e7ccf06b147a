"""Upgrades the database schema to this version. Several servers may start at once; one of them does the work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database import faults

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x6E6F7661  # "nova"
_LOCK_TIMEOUT = "60s"

# The rights of the application role beyond SELECT. It can only read tables that are not listed.
_FULL_ACCESS = (
    "tenants", "users", "sessions", "refresh_tokens", "login_failures", "hosts", "vms", "volumes", "pools", "operations",
    "jobs",
)  # fmt: skip
_RIGHTS = {
    **dict.fromkeys(_FULL_ACCESS, "INSERT, UPDATE, DELETE"),
    "settings": "INSERT, UPDATE",
    "event_counter": "UPDATE",
    "events": "INSERT",
    "samples": "INSERT",
    "sample_minutes": "INSERT",
}
_FUNCTIONS = (
    "prune_events(timestamptz)",
    "make_sample_partitions(timestamptz, timestamptz)",
    "drop_sample_partitions(timestamptz, timestamptz)",
)


def head() -> str:
    """The newest revision of this version; a revision is the number with which its file name starts."""
    return max(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def migrate(owner_url: str, app_url: str | None = None) -> None:
    """Upgrade the schema to `head()`, and grant the role of `app_url` its rights. Idempotent and safe to run in parallel.

    Raises DatabaseUnavailable when the database cannot be reached, or has the schema of a newer NovaCron.
    """
    role = conninfo_to_dict(app_url).get("user") if app_url else None
    try:
        await asyncio.to_thread(_migrate, owner_url, str(role) if role else None)
    except faults.Fault as exc:
        raise DatabaseUnavailable(f"the database schema could not be upgraded: {exc}") from exc


def _migrate(owner_url: str, role: str | None) -> None:
    # A session lock: migrations commit one by one, and with a transaction lock, servers starting in parallel crashed.
    with psycopg.connect(owner_url, autocommit=True, connect_timeout=5, application_name="novacron-migrate") as guard:
        guard.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
        guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        found = _revision(guard)
        if found is not None and found > head():
            raise DatabaseUnavailable(
                f"the database has the schema {found} of a newer NovaCron; this version supports up to {head()}"
            )
        if found != head():
            _upgrade(owner_url)
        if role is not None and role != guard.info.user:
            _grant(guard, role)


def _revision(guard: psycopg.Connection[tuple[object, ...]]) -> str | None:
    if guard.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    row = guard.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(owner_url: str) -> None:
    from alembic import command  # imported here, so that a start without migrations does not wait for it
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(owner_url, connect_timeout=5), poolclass=NullPool
    )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _grant(guard: psycopg.Connection[tuple[object, ...]], role: str) -> None:
    app = sql.Identifier(role)
    with guard.transaction():
        schema = sql.SQL("SCHEMA ") + sql.Identifier(_schema(guard))
        guard.execute(sql.SQL("GRANT USAGE ON {} TO {}").format(schema, app))
        guard.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN {} FROM {}").format(schema, app))
        guard.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN {} TO {}").format(schema, app))
        for table, rights in _RIGHTS.items():
            guard.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), app))
        for function in _FUNCTIONS:
            guard.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(function), app))


def _schema(guard: psycopg.Connection[tuple[object, ...]]) -> str:
    row = guard.execute("SELECT current_schema()").fetchone()
    return str(row[0]) if row else "public"
