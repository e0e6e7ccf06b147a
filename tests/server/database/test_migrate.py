"""The schema: concurrent starts, the rights of the two roles, and tables.py compared with the migrations."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database import migrate as migrating
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.repository import instance, setting, store_setting
from novacron_server.database.tables import METADATA
from novacron_server.database.transactions import Database


@pytest.fixture
async def empty(postgres: EmbeddedPostgres, owner_url: str) -> str:
    """A database without tables, as its owner."""
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute("DROP SCHEMA public CASCADE")
        await conn.execute("CREATE SCHEMA public")
    return owner_url


def app_of(postgres: EmbeddedPostgres, owner_url: str) -> str:
    return postgres.app_url.replace("/novacron?", "/" + owner_url.split("?")[0].rsplit("/", 1)[1] + "?")


async def test_four_concurrent_migrations_succeed(postgres: EmbeddedPostgres, empty: str) -> None:
    app_url = app_of(postgres, empty)
    await asyncio.gather(*(migrating.migrate(empty, app_url) for _ in range(4)))
    database = Database(app_url)
    first = await database.run(instance)
    await migrating.migrate(empty, app_url)
    assert await database.run(instance) == first
    await database.close()


async def test_four_concurrent_processes_succeed(postgres: EmbeddedPostgres, empty: str) -> None:
    code = (
        "import asyncio, sys; from novacron_server.database.migrate import migrate; asyncio.run(migrate(*sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, empty, app_of(postgres, empty)]
    racers = [await asyncio.create_subprocess_exec(*argv, stderr=subprocess.PIPE) for _ in range(4)]
    said = await asyncio.gather(*(racer.communicate() for racer in racers))
    assert [racer.returncode for racer in racers] == [0] * 4, said


async def test_one_role_for_everything_is_enough(empty: str) -> None:
    await migrating.migrate(empty, empty)
    database = Database(empty)
    assert await database.run(instance)
    await database.close()


async def test_pruning_ignores_a_temporary_table_of_the_same_name(owner_url: str, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute(
            "INSERT INTO events VALUES (1, gen_random_uuid(), 'a', 'b', 'c', 'd', '', NULL, 'low', '2000-1-1')"
        )
        await conn.execute("CREATE TEMP TABLE events (time timestamptz)")
        found = await (await conn.execute("SELECT prune_events(now())")).fetchone()
        assert found == (1,)


def test_head_is_alembics_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrating.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [migrating.head()]


def test_tables_and_migrations_agree(owner_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(owner_url), poolclass=NullPool)
    with engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []
        found = inspect(conn)
        for table in METADATA.tables.values():
            checks = {check["name"] for check in found.get_check_constraints(table.name)}
            assert checks == {c.name for c in table.constraints if type(c).__name__ == "CheckConstraint"}


async def test_newer_schema_is_refused(owner_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as conn:
        await conn.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnavailable, match="a newer NovaCron"):
        await migrating.migrate(owner_url)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET note = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DELETE FROM event_counter",
        "DELETE FROM settings",
        "UPDATE alembic_version SET version_num = '0'",
        "CREATE TABLE mine (n int)",
        "DROP TABLE users",
        "ALTER TABLE users ADD COLUMN x int",
    ],
)
async def test_application_role_is_refused(database_url: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(statement)


async def test_stored_setting_replaces_the_earlier_one(database: Database) -> None:
    await database.run(lambda conn: store_setting(conn, "colour", {"a": 1}))
    await database.run(lambda conn: store_setting(conn, "colour", {"a": 2}))
    assert await database.run(lambda conn: setting(conn, "colour")) == {"a": 2}
    assert await database.run(lambda conn: setting(conn, "none")) is None


def test_wheel_contains_the_migrations() -> None:
    """hatchling ships every file of the named packages that git does not ignore."""
    root = Path(__file__).parents[3]
    packages = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert migrating.MIGRATIONS.is_relative_to(root / "server/novacron_server")
    assert "server/novacron_server" in packages["packages"] and "exclude" not in packages
    for file in migrating.MIGRATIONS.rglob("*.py"):
        ignored = subprocess.run(["git", "check-ignore", "-q", str(file)], cwd=root, check=False)
        assert ignored.returncode != 0, file
