"""Two servers on one external database: one uses it, the other names that server and changes nothing (G5)."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from novacron_core import errors
from novacron_core.api import access, operations, vms
from novacron_core.client import Client
from novacron_server.database import server_lock
from novacron_server.runtime.settings import Settings
from tests.support.accounts import PASSWORD
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.requests import vm_request
from tests.support.server import LiveServer, all_hosts_read, running
from tests.support.waiting import until

LOCK = "SELECT pg_advisory_lock(%s, hashtext(current_schema()))"
MARK = "UPDATE settings SET value = '\"another\"' WHERE key = 'server'"
END_FIRST = """SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.datname = current_database() AND l.locktype = 'advisory' AND l.classid = %s AND l.granted"""


@pytest.fixture
async def shared(owner_url: str, database_url: str, data_dir: Path, uri: str) -> AsyncIterator[LiveServer]:
    """A server on a database that other servers can use."""
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=LONG_BUDGET_S)
    async with (
        running(settings, owner_url, database_url, [uri], embedded=False) as (url, parts),
        Client(url) as admin,
    ):
        token = (data_dir / "setup-token").read_text().strip()
        await admin.call(access.REGISTER, body=access.Register(username="ann", password=PASSWORD, setup_token=token))
        await admin.sign_in("ann", PASSWORD)
        await until(lambda: all_hosts_read(parts))
        yield LiveServer(url, parts, admin, data_dir)


@asynccontextmanager
async def another_server(server: LiveServer, url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Make another server hold the lock until the end of the block, after this server has lost it."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="novacron on beta") as its,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as session,
    ):
        taking = asyncio.create_task(its.execute(LOCK, (server_lock.KEY,)))

        async def take_lock() -> bool | None:
            found = await session.execute(
                "SELECT 1 FROM pg_locks WHERE classid = %s AND NOT granted", (server_lock.KEY,)
            )
            return True if await found.fetchone() else None

        await until(take_lock)
        await session.execute(END_FIRST, (server_lock.KEY,))
        await taking
        await its.execute(MARK)
        yield its


async def refused(server: LiveServer) -> bool | None:
    return True if server.parts.database.refusal else None


async def test_changes_are_refused_and_operations_stopped_while_another_server_has_the_lock(
    shared: LiveServer, database_url: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    begun = await shared.admin.call(vms.CREATE, body=vm_request(start=False))
    await until(lambda: _runs_operations(shared))
    vm = await shared.vm("test")
    async with another_server(shared, database_url):
        await until(lambda: refused(shared))
        with pytest.raises(errors.DatabaseUnavailable, match=r"another server has .*novacron on beta") as said:
            await shared.admin.call(vms.PAUSE, vm_id=vm.id)
        assert said.value.retry_after_s
        assert (await shared.vm("test")).id == vm.id
        await until(lambda: _runs_no_operation(shared))
        assert (await shared.admin.call(operations.GET, operation_id=begun.id)).state == "running"
        monkeypatch.setenv("NOVACRON_FAILPOINTS", "")
    await until(lambda: _admitted(shared))
    assert (await shared.ended(begun)).state == "interrupted"
    paused = await shared.admin.call(vms.PAUSE, vm_id=vm.id)
    assert (await shared.ended(paused)).state == "succeeded"


async def _runs_operations(server: LiveServer) -> bool | None:
    return True if server.parts.operations.busy else None


async def _runs_no_operation(server: LiveServer) -> bool | None:
    return None if server.parts.operations.busy else True


async def _admitted(server: LiveServer) -> bool | None:
    return None if server.parts.database.refusal else True


async def test_lost_lock_is_regained_and_operations_continue(
    shared: LiveServer, database_url: str, data_dir: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = data_dir / "go"
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(release))
    begun = await shared.admin.call(vms.CREATE, body=vm_request(start=False))
    await until(lambda: _runs_operations(shared))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as session:
        before = await _holder(session)
        await session.execute(END_FIRST, (server_lock.KEY,))

        async def regained() -> bool | None:
            return True if await _holder(session) not in (None, before) else None

        await until(regained)
    release.touch()
    assert (await shared.ended(begun)).state == "succeeded"


async def _holder(session: psycopg.AsyncConnection) -> int | None:
    found = await session.execute("SELECT pid FROM pg_locks WHERE classid = %s AND granted", (server_lock.KEY,))
    row = await found.fetchone()
    return row[0] if row else None


async def test_health_names_the_server_that_has_the_database(shared: LiveServer, database_url: str) -> None:
    token = {"Authorization": f"Bearer {shared.admin.credentials.token}"}
    async with another_server(shared, database_url), httpx.AsyncClient(headers=token) as http:
        await until(lambda: refused(shared))
        answer = await http.get(f"{shared.url}/health")
        ready = await http.get(f"{shared.url}/readyz")
    assert (answer.status_code, ready.status_code) == (503, 503)
    assert "novacron on beta" in answer.json()["checks"]["database"]["detail"]


def test_second_server_refuses_to_start_until_the_first_is_gone(
    database_url: str, owner_url: str, data_dir: Path
) -> None:
    first = _serve(data_dir / "a", database_url, owner_url)
    try:
        assert _first_line(first).startswith("listening on")
        second = _serve(data_dir / "b", database_url, owner_url)
        assert second.wait(60) == 1
        assert second.stderr is not None
        said = second.stderr.read().strip().splitlines()[-1]
        assert re.search(
            rf"novacron serve: another server has this database: novacron on .*, process {first.pid} ", said
        )
    finally:
        first.kill()
        first.wait(10)
    third = _serve(data_dir / "b", database_url, owner_url)
    try:
        assert _first_line(third).startswith("listening on")
    finally:
        third.terminate()
        third.wait(30)


def _serve(folder: Path, database_url: str, owner_url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "novacron_server", "--port", "0", "--data-dir", str(folder)]
    command += ["--database-url", database_url, "--database-owner-url", owner_url, "--hypervisor", "test:///default"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=dict(os.environ))


def _first_line(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return server.stdout.readline()
