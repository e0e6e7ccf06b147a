"""Records that cannot be written now: a full queue, a database that is down, a server that is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from novacron_core.api.access import User
from novacron_core.api.audit import AuditQuery
from novacron_core.api.vms import PAUSE
from novacron_core.errors import DatabaseUnavailable, Forbidden, Unauthenticated
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.audit import repository
from novacron_server.audit.refusals import Refusals
from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.guarded_clock import GuardedClock
from novacron_server.database.transactions import Connection, Database
from novacron_server.http.asked import Asked
from novacron_server.runtime.retention import audit_retention_job, audit_verification_job
from novacron_server.runtime.scheduler.scheduler import Scheduler
from tests.support.audit import ADMINISTRATOR, AuditUnderTest, entry, execute

BOB = Principal("u-1", "bob", Role.VIEWER, "default", "s-1", datetime(2090, 1, 1, tzinfo=UTC))


@pytest.fixture
def log(database: Database, data_dir: Path) -> AuditUnderTest:
    return AuditUnderTest(database, data_dir)


def refusals(database: Database, **more: Any) -> Refusals:
    async def find(conn: Connection, names: Sequence[str], ids: Sequence[str]) -> list[User]:
        return []

    async def warn(conn: Connection, user: User, sentence: str) -> None: ...

    return Refusals(database, find, warn, **more)


def refused(number: int = 0) -> Asked:
    path = {"vm_id": f"00000000-0000-0000-0000-{number:012}"}
    return Asked("192.0.2.9", f"r-{number}", endpoint=PAUSE, path=path, who=BOB, refused=Forbidden("not yours"))


async def test_what_does_not_fit_into_the_queue_is_counted(log: AuditUnderTest) -> None:
    noting = refusals(log.database, max_waiting=3)
    for number in range(10):
        noting.note(refused(number))
    await noting.write()
    assert await log.found("who:bob") == [f"bob vm.pause 00000000-0000-0000-0000-{n:012} refused" for n in (2, 1, 0)]
    (lost,) = (await log.audit.page(ADMINISTRATOR, AuditQuery(q="action:lost"))).items
    assert (lost.times, lost.tenant) == (7, "")
    assert lost.detail == "7 refusals were not recorded: more came than could be written"


async def test_refusals_wait_for_a_database_that_is_down(
    log: AuditUnderTest, postgres: EmbeddedPostgres, database_url: str
) -> None:
    noting = refusals(log.database, max_waiting=5)
    name = database_url.split("?")[0].rsplit("/", 1)[1]
    await execute(postgres.superuser_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await execute(
        postgres.superuser_url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    for number in range(8):
        noting.note(refused(number))
    with pytest.raises(DatabaseUnavailable):
        await noting.write()
    await execute(postgres.superuser_url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await noting.write()
    assert len(await log.found("who:bob")) == 5
    assert await log.found("action:lost") == [" audit.lost  failed"]
    await log.heads.advance()
    assert await log.reasons() == {}


async def test_addresses_of_strangers_are_counted_up_to_a_bound(log: AuditUnderTest) -> None:
    noting = refusals(log.database, tallied_s=0.0)
    for number in range(3000):
        address = f"2001:db8:{number:x}::1"
        noting.note(Asked(address, "r", endpoint=PAUSE, path={"vm_id": "x"}, refused=Unauthenticated("no token")))
    await noting.write()
    page = await log.audit.page(ADMINISTRATOR, AuditQuery(page_size=1000))
    assert page.total == 1001
    assert sum(item.times for item in page.items) >= 3000 - 1
    assert any(item.address == "other addresses" and item.times == 2000 for item in page.items)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from sqlalchemy import text
from novacron_core.api.access import User
from novacron_core.values.roles import Role
from novacron_server.access.accounts import account_event
from novacron_server.access.repository import add_account
from novacron_server.database.transactions import Database
from novacron_server.outbox.repository import append

async def main() -> None:
    database = Database(sys.argv[1])
    user = User(id="11111111-1111-1111-1111-111111111111", username="eve", email="", role=Role.VIEWER, tenant="default")

    async def work(conn):
        await add_account(conn, user, "hash")
        await append(conn, [account_event(user, "access.user_created", by="ann")])
        if sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)

    import msgspec, datetime
    user = msgspec.structs.replace(user, created_at=datetime.datetime.now(datetime.UTC))
    await database.run(work)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize(("when", "count"), [("before", 0), ("after", 1)])
async def test_a_server_killed_around_the_commit_leaves_both_or_none(
    log: AuditUnderTest, database_url: str, when: str, count: int
) -> None:
    command = [sys.executable, "-c", KILLED, database_url, when, *sys.path]
    killed = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    async def changed(conn: Connection) -> int:
        return int((await conn.execute(text("SELECT count(*) FROM users WHERE username = 'eve'"))).scalar_one())

    assert await log.database.run(changed) == count
    assert len(await log.found("action:user_created")) == count
    await log.write(entry())
    await log.heads.advance()
    assert await log.reasons() == {}


async def test_a_change_that_is_rolled_back_leaves_no_record(log: AuditUnderTest) -> None:
    async def fail(conn: Connection) -> None:
        await repository.write(conn, [entry("never")])
        raise Forbidden("no")

    with pytest.raises(Forbidden):
        await log.database.run(fail)
    await log.write(entry("next"))
    assert await log.found() == ["bob vm.stop next accepted"]
    await log.heads.advance()
    assert await log.reasons() == {}


async def test_an_old_entry_that_was_changed_is_found_by_the_daily_job(log: AuditUnderTest, owner_url: str) -> None:
    await log.write(entry("one"), entry("two"))
    await log.heads.advance()
    await execute(owner_url, "UPDATE audit_entries SET actor = 'eve' WHERE seq = 1")
    await log.heads.advance()
    assert log.warnings == [], "it looks at new entries only"
    for _ in range(2):
        await audit_verification_job(log.audit).run(datetime.now(UTC))
    sentence = "entry 1 is not as it was written (edited: its content does not have its hash)"
    assert log.warnings == [("default", sentence)]


async def test_retention_runs_as_a_job(log: AuditUnderTest) -> None:
    now = datetime.now(UTC)
    await log.write(entry("old", time=now - timedelta(days=400)), entry("new", time=now - timedelta(days=300)))
    await log.heads.advance()
    scheduler = Scheduler(log.database, [audit_retention_job(log.audit, timedelta(days=365))], GuardedClock().now)
    running = asyncio.create_task(scheduler.run())
    async with asyncio.timeout(20):
        while await log.found() != ["bob vm.stop new accepted"]:
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await log.reasons() == {}
