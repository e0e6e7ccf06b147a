"""Two servers on one external database: one works with it, the other says who does and changes nothing (promise G5)."""

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
from tests.support.database_budget import PATIENT_S
from tests.support.requests import vm_request
from tests.support.server import LiveServer, all_hosts_read, running
from tests.support.waiting import until

LOCK = "SELECT pg_advisory_lock(%s, hashtext(current_schema()))"
MARK = "UPDATE settings SET value = '\"another\"' WHERE key = 'server'"
END_FIRST = """SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.datname = current_database() AND l.locktype = 'advisory' AND l.classid = %s AND l.granted"""


@pytest.fixture
async def shared(owner_url: str, database_url: str, data_dir: Path, uri: str) -> AsyncIterator[LiveServer]:
    """A server on a database that others can reach."""
    settings = Settings(data_dir=data_dir, sign_ins_per_minute=1000, database_budget_s=PATIENT_S)
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
async def another(server: LiveServer, url: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """Another server gets the database while this one has lost its lock; until the end of the block."""
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="novacron on beta") as its,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as hand,
    ):
        taking = asyncio.create_task(its.execute(LOCK, (server_lock.KEY,)))

        async def in_line() -> bool | None:
            found = await hand.execute("SELECT 1 FROM pg_locks WHERE classid = %s AND NOT granted", (server_lock.KEY,))
            return True if await found.fetchone() else None

        await until(in_line)
        await hand.execute(END_FIRST, (server_lock.KEY,))
        await taking
        await its.execute(MARK)
        yield its


async def refused(server: LiveServer) -> bool | None:
    return True if server.parts.database.refusal else None


async def test_while_another_server_has_it_changes_are_refused_and_begun_work_is_that_ones(
    shared: LiveServer, database_url: str, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    begun = await shared.admin.call(vms.CREATE, body=vm_request(start=False))
    await until(lambda: _at_work(shared))
    vm = await shared.vm("test")
    async with another(shared, database_url):
        await until(lambda: refused(shared))
        with pytest.raises(errors.DatabaseUnavailable, match=r"another server has .*novacron on beta") as said:
            await shared.admin.call(vms.PAUSE, vm_id=vm.id)
        assert said.value.retry_after_s
        assert (await shared.vm("test")).id == vm.id
        await until(lambda: _at_rest(shared))
        assert (await shared.admin.call(operations.GET, operation_id=begun.id)).state == "running"
        monkeypatch.setenv("NOVACRON_FAILPOINTS", "")
    await until(lambda: _admitted(shared))
    assert (await shared.ended(begun)).state == "interrupted"
    paused = await shared.admin.call(vms.PAUSE, vm_id=vm.id)
    assert (await shared.ended(paused)).state == "succeeded"


async def _at_work(server: LiveServer) -> bool | None:
    return True if server.parts.operations.busy else None


async def _at_rest(server: LiveServer) -> bool | None:
    return None if server.parts.operations.busy else True


async def _admitted(server: LiveServer) -> bool | None:
    return None if server.parts.database.refusal else True


async def test_a_lock_that_was_lost_to_nobody_is_held_again_and_work_goes_on(
    shared: LiveServer, database_url: str, data_dir: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = data_dir / "go"
    monkeypatch.setenv("NOVACRON_FAILPOINTS", "vm.create:volumes=pause")
    monkeypatch.setenv("NOVACRON_FAILPOINT_RELEASE", str(release))
    begun = await shared.admin.call(vms.CREATE, body=vm_request(start=False))
    await until(lambda: _at_work(shared))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as hand:
        before = await _holder(hand)
        await hand.execute(END_FIRST, (server_lock.KEY,))

        async def had_again() -> bool | None:
            return True if await _holder(hand) not in (None, before) else None

        await until(had_again)
    release.touch()
    assert (await shared.ended(begun)).state == "succeeded"


async def _holder(hand: psycopg.AsyncConnection) -> int | None:
    found = await hand.execute("SELECT pid FROM pg_locks WHERE classid = %s AND granted", (server_lock.KEY,))
    row = await found.fetchone()
    return row[0] if row else None


async def test_the_health_says_who_has_the_database(shared: LiveServer, database_url: str) -> None:
    async with another(shared, database_url), httpx.AsyncClient() as http:
        await until(lambda: refused(shared))
        answer = await http.get(f"{shared.url}/health")
        ready = await http.get(f"{shared.url}/readyz")
    assert (answer.status_code, ready.status_code) == (503, 503)
    assert "novacron on beta" in answer.json()["checks"]["database"]["detail"]


def test_a_second_server_refuses_to_start_until_the_first_is_gone(
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
