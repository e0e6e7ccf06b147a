"""Every connection to PostgreSQL is opened in one way: the options of its URL hold, and failures have their sentence."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import structlog

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.connector import Connector, parse_options
from novacron_server.database.embedded import cluster
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.migrate import head, migrate
from novacron_server.database.preflight import Place, find_place
from novacron_server.database.transactions import Database
from tests.support.postgres_proxies import Proxy, TransactionPooler, read_startup

BUDGET_S = 10.0
ROLE = "joe"


class Site:
    """A PostgreSQL with an operator's own database and role, without any table of ours."""

    def __init__(self, postgres: EmbeddedPostgres, name: str) -> None:
        self.postgres = postgres
        self.name = name
        self.sockets = postgres.socket_dir

    def url(self, *, role: str = ROLE, password: str = "pw", database: str = "", more: str = "") -> str:
        host = self.postgres.app_url.split("?")[1]
        return f"postgresql://{role}:{password}@/{database or self.name}?{host}{more}"

    async def admin(self, *statements: str, database: str = "") -> None:
        url = self.postgres.superuser_url.replace(f"@/{cluster.DATABASE}?", f"@/{database or self.name}?")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            for statement in statements:
                await conn.execute(statement)

    async def one(self, query: str, **more: str) -> object:
        async with await psycopg.AsyncConnection.connect(self.url(**more), autocommit=True) as conn:
            row = await (await conn.execute(query)).fetchone()
            return row[0] if row else None


@pytest.fixture
async def site(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    found = Site(postgres, "their_site")
    create = f"CREATE ROLE {ROLE} LOGIN PASSWORD 'pw'"
    await found.admin(create, f"CREATE DATABASE {found.name} OWNER {ROLE}", database="postgres")
    yield found
    drop = [f"DROP DATABASE {found.name} WITH (FORCE)", f"DROP ROLE {ROLE}"]
    await found.admin(*drop, database="postgres")


@pytest.fixture
def folder(data_dir: Path) -> Path:
    return data_dir / "p"


async def start(url: str, owner_url: str | None = None, budget_s: float = BUDGET_S) -> tuple[Place, Database]:
    """What a server does with an external database when it starts."""
    place = await find_place(url, owner_url or url, budget_s)
    database = Database(url, budget_s=budget_s, schema=place.schema, search_path=place.search_path)
    server_lock = await database.take_server_lock()
    try:
        await migrate(owner_url or url, url, role=place.role, search_path=place.search_path, budget_s=budget_s)
        await server_lock.mark()
    finally:
        await server_lock.close()
    return place, database


async def current(database: Database, setting: str) -> str:
    found = await database.run(lambda conn: conn.exec_driver_sql(f"SELECT current_setting('{setting}')"))
    return str(found.scalar_one())


async def refusal(url: str, owner_url: str | None = None) -> str:
    """The sentence with which a start is refused. It is one line, and has neither SQL nor an address of SQLAlchemy."""
    with pytest.raises(DatabaseUnavailable) as refused:
        await start(url, owner_url)
    sentence = refused.value.detail
    assert "\n" not in sentence and "sqlalche" not in sentence and "SELECT" not in sentence.replace("GRANT SELECT", "")
    assert "pw" not in sentence
    return sentence


async def test_options_of_the_url_hold_beside_the_limits(site: Site) -> None:
    await site.admin(f"CREATE SCHEMA nova AUTHORIZATION {ROLE}")
    more = "&options=-csearch_path%3Dnova%20-c%20work_mem%3D8MB&application_name=mine"
    place, database = await start(site.url(more=more))
    assert (place.schema, await current(database, "search_path")) == ("nova", "nova")
    assert await current(database, "work_mem") == "8MB"
    assert await current(database, "application_name") == "mine"
    assert await current(database, "statement_timeout") == f"{int(BUDGET_S)}s"
    await database.close()
    tables = "SELECT string_agg(DISTINCT schemaname, ',') FROM pg_tables WHERE tablename IN ('vms', 'alembic_version')"
    assert await site.one(tables) == "nova"


async def test_search_path_of_a_role_is_the_path_of_both_roles(site: Site) -> None:
    await site.admin("CREATE ROLE the_owner LOGIN PASSWORD 'pw'", "CREATE SCHEMA nova AUTHORIZATION the_owner")
    try:
        await site.admin("ALTER ROLE the_owner SET search_path = nova")
        place, database = await start(site.url(), site.url(role="the_owner"))
        assert (place.schema, place.role) == ("nova", ROLE)
        found = await database.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM vms"))
        assert found.scalar_one() == 0
        assert database.server_lock is not None and database.server_lock._key[1] == "nova"
        await database.close()
        await site.admin("CREATE SCHEMA other AUTHORIZATION the_owner")
        url = site.url(more="&options=-csearch_path%3Dother")
        place, database = await start(url, site.url(role="the_owner"))
        assert place.schema == "other"
        found = await database.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM vms"))
        assert found.scalar_one() == 0
        await database.close()
    finally:
        await site.admin("DROP OWNED BY the_owner CASCADE", "DROP ROLE the_owner")


async def test_options_are_set_later_when_a_pooler_refuses_or_ignores_them(site: Site, folder: Path) -> None:
    for options in ("refuse", "ignore"):
        async with Proxy(folder / options, site.sockets, options=options).running() as pooler:
            place, database = await start(pooler.url(site.url(more="&options=-c%20work_mem%3D8MB")))
            assert place.schema == "public"
            assert await current(database, "work_mem") == "8MB"
            assert await current(database, "statement_timeout") == f"{int(BUDGET_S)}s"
            await database.close()


@pytest.mark.parametrize("sessions", [1, 3])
async def test_pooler_in_transaction_mode_is_refused(site: Site, folder: Path, sessions: int) -> None:
    async with TransactionPooler(folder, site.url(), sessions=sessions).running() as pooler:
        assert "pooler in transaction mode" in await refusal(pooler.url(site.url()))
    assert await site.one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_connecting_may_take_the_whole_budget(site: Site, folder: Path) -> None:
    async with Proxy(folder, site.sockets, delay_s=2.2).running() as far:
        async with await Connector(far.url(site.url()), budget_s=BUDGET_S).open():
            pass
        with pytest.raises(psycopg.OperationalError, match=r"within 0.5 s.*--database-budget-s"):
            await Connector(far.url(site.url()), budget_s=0.5).open()
        database = Database(far.url(site.url()), budget_s=BUDGET_S)
        await database.run(lambda conn: conn.exec_driver_sql("SELECT 1"))
        await database.close()
        await database.ping()  # on a new connection, which takes longer than a ping usually may
        await database.close()


async def test_cancelled_attempt_leaves_no_connection(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    greeted, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_startup(reader)
        greeted.set()
        await reader.read()
        left.set()
        writer.close()

    silent = await asyncio.start_unix_server(serve, folder / ".s.PGSQL.5432")
    database = Database(f"postgresql://joe@/x?host={folder}", budget_s=BUDGET_S)
    gc.disable()
    try:
        opening = asyncio.create_task(database.ping())
        async with asyncio.timeout(5):
            await greeted.wait()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            await left.wait()
    finally:
        gc.enable()
        await database.close()
        silent.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
async def test_database_that_cannot_store_every_character_is_refused(site: Site, encoding: str) -> None:
    create = f"CREATE DATABASE narrow OWNER {ROLE} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    await site.admin(create)
    try:
        sentence = await refusal(site.url(database="narrow"))
        assert f"encoding {encoding}" in sentence and "ENCODING 'UTF8'" in sentence
    finally:
        await site.admin("DROP DATABASE narrow WITH (FORCE)")


async def test_failed_connections_have_their_sentence(site: Site) -> None:
    assert "password of role joe" in await refusal(site.url(password="no"))
    assert "database URL has none" in await refusal(site.url().replace(":pw@", "@"))
    assert 'CREATE DATABASE "My db"' in await refusal(site.url(database="My%20db"))
    assert "host of the database URL is unknown" in await refusal("postgresql://joe:pw@nowhere.invalid/x")
    assert "connection refused" in await refusal("postgresql://joe:pw@127.0.0.1:1/x")
    assert "no socket of PostgreSQL" in await refusal("postgresql://joe:pw@/x?host=/var/tmp/novacron-none")
    assert "option of the database URL" in await refusal(site.url(more="&options=-cnosuch%3D1"))
    await site.admin(
        f"REVOKE CONNECT ON DATABASE {site.name} FROM PUBLIC", f"ALTER DATABASE {site.name} OWNER TO postgres"
    )
    await site.admin(f"REVOKE ALL ON DATABASE {site.name} FROM {ROLE}")
    assert f"GRANT CONNECT ON DATABASE {site.name} TO joe" in await refusal(site.url())


async def test_too_few_connections_are_told_with_the_number_needed(site: Site) -> None:
    await site.admin(f"ALTER ROLE {ROLE} CONNECTION LIMIT 1")
    async with await psycopg.AsyncConnection.connect(site.url()):
        assert "NovaCron needs up to 19" in await refusal(site.url())
    with pytest.raises(DatabaseUnavailable, match="needs up to 5; lower --database-connections"):
        async with await psycopg.AsyncConnection.connect(site.url()):
            await find_place(site.url(), site.url(), BUDGET_S, 2)
    await site.admin(f"ALTER ROLE {ROLE} CONNECTION LIMIT 10")
    with structlog.testing.capture_logs() as lines:
        _, database = await start(site.url())
        await database.close()
    assert [(line["allowed"], line["needed"]) for line in lines if line["log_level"] == "warning"] == [(10, 19)]


async def test_missing_right_is_told_with_its_grant_before_anything_is_made(site: Site) -> None:
    await site.admin(
        f"ALTER DATABASE {site.name} OWNER TO postgres", f"REVOKE CREATE ON SCHEMA public FROM PUBLIC, {ROLE}"
    )
    assert "run GRANT USAGE, CREATE ON SCHEMA public TO joe" in await refusal(site.url())
    assert await site.one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await site.admin(f"GRANT USAGE, CREATE ON SCHEMA public TO {ROLE}")
    _, database = await start(site.url())
    await database.close()
    await site.admin("ALTER TABLE operations OWNER TO postgres")
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON public.operations TO joe" in await refusal(site.url())
    await site.admin("UPDATE alembic_version SET version_num = '0001'")
    sentence = await refusal(site.url())
    assert "operations belongs to the role postgres, not to joe" in sentence
    assert "run ALTER TABLE public.operations OWNER TO joe" in sentence
    await site.admin("CREATE ROLE other", "ALTER TABLE operations OWNER TO other")
    try:
        assert "run REASSIGN OWNED BY other TO joe" in await refusal(site.url())
        await site.admin(f"REASSIGN OWNED BY other TO {ROLE}", f"UPDATE alembic_version SET version_num = '{head()}'")
        _, database = await start(site.url())
        await database.close()
    finally:
        await site.admin("DROP OWNED BY other", "DROP ROLE other")


async def test_schema_that_is_missing_or_of_another_program_is_refused(site: Site) -> None:
    assert "CREATE SCHEMA nope AUTHORIZATION joe" in await refusal(site.url(more="&options=-csearch_path%3Dnope"))
    await site.admin("CREATE TABLE users (id int)")
    assert "a table users that NovaCron did not make" in await refusal(site.url())
    await site.admin("CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('ae12')")
    await site.admin(f"GRANT ALL ON alembic_version TO {ROLE}")
    assert "tables of another program" in await refusal(site.url())


async def test_exchanged_urls_of_owner_and_application_are_told_with_the_line(site: Site) -> None:
    await site.admin("CREATE ROLE the_app LOGIN PASSWORD 'pw'", "GRANT USAGE ON SCHEMA public TO the_app")
    try:
        _, database = await start(site.url(role="the_app"), site.url())
        await database.close()
        sentence = await refusal(site.url(), site.url(role="the_app"))
        assert f"belongs to the role {ROLE}, not to the_app: give a URL of {ROLE} as --database-owner-url" in sentence
        assert f"run REASSIGN OWNED BY {ROLE} TO the_app" in sentence
    finally:
        await site.admin("DROP OWNED BY the_app", "DROP ROLE the_app")


async def test_read_only_database_is_refused(site: Site) -> None:
    await site.admin(f"ALTER DATABASE {site.name} SET default_transaction_read_only = on")
    assert "give the address of the primary" in await refusal(site.url())


async def test_two_databases_or_search_paths_are_refused(site: Site, owner_url: str) -> None:
    assert "give the same" in await refusal(site.url(), owner_url)
    paths = [site.url(more=f"&options=-csearch_path%3D{name}") for name in ("one", "two")]
    assert "different search paths" in await refusal(*paths)


async def test_refused_connection_of_a_running_server_names_no_role(site: Site) -> None:
    database = Database(site.url(password="no"), budget_s=2.2)
    with pytest.raises(DatabaseUnavailable) as refused:
        await database.ping()
    assert refused.value.detail == "PostgreSQL refuses the password of the database URL"
    await database.close()


def test_options_are_parsed_as_libpq_does() -> None:
    assert parse_options(r"-c a=1 -cb.c=x\ y --work-mem=8MB") == {"a": "1", "b.c": "x y", "work_mem": "8MB"}


@pytest.mark.parametrize("given", ["variable", "flag", "owner"])
def test_empty_url_is_a_usage_error(data_dir: Path, given: str) -> None:
    import os
    import sys

    command = [sys.executable, "-m", "novacron_server", "--port", "0", "--data-dir", str(data_dir / "s")]
    command += {"variable": [], "flag": ["--database-url", ""], "owner": ["--database-owner-url", " "]}[given]
    env = dict(os.environ) | ({"NOVACRON_DATABASE_URL": ""} if given == "variable" else {})
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "is empty" in ended.stderr and not (data_dir / "s").exists()


async def test_two_connections_are_enough(site: Site) -> None:
    _, first = await start(site.url())
    await first.close()
    database = Database(site.url(), budget_s=BUDGET_S, connections=2)
    await site.admin(f"ALTER ROLE {ROLE} CONNECTION LIMIT 2")
    await asyncio.gather(*(database.run(lambda conn: conn.exec_driver_sql("SELECT pg_sleep(0.05)")) for _ in range(20)))
    await database.close()


async def end_sessions(site: Site) -> None:
    """New sessions take the settings of the database; those that are open keep the old ones."""
    others = f"FROM pg_stat_activity WHERE datname = '{site.name}' AND pid <> pg_backend_pid()"
    await site.admin(f"SELECT pg_terminate_backend(pid) {others}", database="postgres")


async def test_running_server_waits_while_the_database_is_read_only(site: Site) -> None:
    _, database = await start(site.url())
    write = "INSERT INTO settings (key, value) VALUES ('x', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    await database.run(lambda conn: conn.exec_driver_sql(write))
    await database.run(
        lambda conn: conn.exec_driver_sql("SELECT 1"), read_only=True
    )  # leaves nothing on its connection
    await site.admin(f"ALTER DATABASE {site.name} SET default_transaction_read_only = on")
    await end_sessions(site)
    for refused in (lambda: database.run(lambda conn: conn.exec_driver_sql(write)), database.ping):
        with pytest.raises(DatabaseUnavailable, match="is read-only") as error:
            await refused()
        assert error.value.retry_after_s
    await database.run(lambda conn: conn.exec_driver_sql("SELECT 1"), read_only=True)
    await site.admin(f"ALTER DATABASE {site.name} SET default_transaction_read_only = off", database="postgres")
    await end_sessions(site)
    await database.ping()
    await database.run(lambda conn: conn.exec_driver_sql(write))
    await database.close()


@pytest.mark.parametrize(
    ("refuse", "permit", "reason"),
    [
        ("ALTER DATABASE {db} SET default_transaction_read_only = on",
         "ALTER DATABASE {db} SET default_transaction_read_only = off", "is read-only"),
        ("REVOKE INSERT, UPDATE ON settings FROM {role}", "GRANT INSERT, UPDATE ON settings TO {role}", "rejected"),
    ],
)  # fmt: skip
async def test_lost_server_lock_is_regained_whatever_the_database_refuses_meanwhile(
    site: Site, refuse: str, permit: str, reason: str
) -> None:
    _, database = await start(site.url())
    server_lock = await database.take_server_lock()
    await server_lock.mark()

    async def nothing() -> None:
        return

    keeping = asyncio.create_task(server_lock.keep(nothing, nothing))
    await site.admin(refuse.format(db=site.name, role=ROLE))
    await end_sessions(site)
    with pytest.raises(DatabaseUnavailable, match=reason):
        async with asyncio.timeout(20):
            while True:  # the session ends a moment after it was told to
                await server_lock.admit(time.monotonic() + 1)
                await asyncio.sleep(0.05)
    await site.admin(permit.format(db=site.name, role=ROLE), database="postgres" if "DATABASE" in permit else "")
    if "read_only" in permit:
        await end_sessions(site)
    async with asyncio.timeout(20):
        while True:
            try:
                await server_lock.admit(time.monotonic() + 5)
                break
            except DatabaseUnavailable:
                continue
    assert not keeping.done()
    keeping.cancel()
    await server_lock.close()
    await database.close()
