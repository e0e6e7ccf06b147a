"""Bringing the schema up to this version: many servers may start at once, one of them does the work."""

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
_PATIENCE = "60s"

# What the application role may do beyond reading. A table that is not named is append-only for it.
_CHANGES = (
    "tenants", "users", "sessions", "refresh_tokens", "login_failures", "hosts", "vms", "volumes", "pools", "operations",
    "jobs",
)  # fmt: skip
_RIGHTS = {
    **dict.fromkeys(_CHANGES, "INSERT, UPDATE, DELETE"),
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
    """The newest revision that this version brings; revisions are the numbers their files start with."""
    return max(file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def migrate(owner_url: str, app_url: str | None = None) -> None:
    """Bring the schema to `head()`, and give the role of `app_url` its rights. Idempotent, safe to race.

    Raises DatabaseUnavailable when it cannot be reached, or was written by a newer NovaCron.
    """
    role = conninfo_to_dict(app_url).get("user") if app_url else None
    try:
        await asyncio.to_thread(_migrate, owner_url, str(role) if role else None)
    except faults.Fault as exc:
        raise DatabaseUnavailable(f"the database could not be brought up to date: {exc}") from exc


def _migrate(owner_url: str, role: str | None) -> None:
    # A session lock, not a transaction's: migrations commit one by one, and with a transaction lock racers crashed.
    with psycopg.connect(owner_url, autocommit=True, connect_timeout=5, application_name="novacron-migrate") as guard:
        guard.execute(f"SET lock_timeout = '{_PATIENCE}'")
        guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        found = _revision(guard)
        if found is not None and found > head():
            raise DatabaseUnavailable(
                f"the database was written by a newer NovaCron (schema {found}, ours is {head()})"
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
    from alembic import command  # here, because a start without migrations should not wait for this import
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
