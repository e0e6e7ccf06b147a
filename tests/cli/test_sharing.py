"""A session shared by several processes: rotation under a lock, sign-out, other users, and token storage."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from novacron_core import errors
from novacron_core.api import access, vms
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_tui.cli.runtime.connect import resolve_named_server
from novacron_tui.servers import keyring
from novacron_tui.servers.bundled import Bundled
from novacron_tui.servers.profiles import LOCAL, Profiles
from novacron_tui.servers.saved_session import SavedSession, SavedSessionFile, saved_session_of_bundled
from novacron_tui.servers.server_choice import ServerChoice
from novacron_tui.servers.shared_credentials import SharedCredentials
from tests.support.accounts import PASSWORD
from tests.support.command_line import Run, Server
from tests.support.processes import NOVACRON, PretendedServer


def tokens(number: int, user: str = "u1") -> access.Tokens:
    who = access.User(id=user, username=user, email="", role=Role.VIEWER, tenant="default")
    return access.Tokens(token=f"access-{number}", expires_in=900, refresh_token=f"refresh-{number}", user=who)


class Rotation:
    """A server's rule: each refresh token is valid once, and a second use ends the session."""

    def __init__(self) -> None:
        self.good = "refresh-0"
        self.number = 0
        self.ended = False

    async def buy(self, refresh_token: str) -> access.Tokens:
        if self.ended or refresh_token != self.good:
            self.ended = True
            raise errors.Unauthenticated("the session has ended")
        self.number += 1
        self.good = ""
        await asyncio.sleep(0)
        self.good = f"refresh-{self.number}"
        return tokens(self.number)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SavedSessionFile:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    return SavedSessionFile("prod", "https://prod", tmp_path / "sessions")


async def begin_session(kept: SavedSessionFile) -> SharedCredentials:
    credentials = SharedCredentials(kept)
    credentials.take(tokens(0))
    await credentials.keep(tokens(0))
    return credentials


async def test_concurrent_refreshes_never_use_a_token_twice(kept: SavedSessionFile) -> None:
    rotation = Rotation()
    await begin_session(kept)
    consoles = [SharedCredentials(kept) for _ in range(20)]
    await asyncio.gather(*(console.renew(rotation.buy) for console in consoles))
    assert not rotation.ended
    assert rotation.number == 20
    session = kept.read()
    assert session is not None
    assert session.refresh_token == "refresh-20"


async def test_session_ended_elsewhere_is_not_refreshed(kept: SavedSessionFile) -> None:
    first, second = await begin_session(kept), SharedCredentials(kept)
    await second.end()
    with pytest.raises(errors.Unauthenticated, match="Signed out meanwhile"):
        await first.renew(Rotation().buy)
    assert first.refresh_token == ""


async def test_invalid_token_is_deleted(kept: SavedSessionFile) -> None:
    first = await begin_session(kept)
    rotation = Rotation()
    rotation.ended = True
    with pytest.raises(errors.Unauthenticated):
        await first.renew(rotation.buy)
    assert kept.read() is None


async def test_session_that_cannot_be_saved_is_refused_once_and_never_spent_twice(
    kept: SavedSessionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    console, rotation = await begin_session(kept), Rotation()

    def full(session: SavedSession) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(kept, "write", full)
        for number in (1, 2):
            with pytest.raises(errors.Conflict, match=r"cannot be renewed.*No space left"):
                await console.renew(rotation.buy)
            assert console.token == f"access-{number}", "the new token is used all the same"
    await console.renew(rotation.buy)
    assert not rotation.ended
    session = kept.read()
    assert session is not None
    assert session.refresh_token == "refresh-3"


async def test_another_users_session_is_never_used(kept: SavedSessionFile) -> None:
    first = await begin_session(kept)
    other = SharedCredentials(kept)
    await other.keep(tokens(7, user="u2"))
    await first.renew(Rotation().buy)
    assert first.refresh_token == "refresh-1"
    assert not first.shared
    session = kept.read()
    assert session is not None
    assert session.user_id == "u2"


async def test_interrupted_refresh_still_saves_the_new_token(kept: SavedSessionFile) -> None:
    console = await begin_session(kept)
    rotation, answered = Rotation(), asyncio.Event()

    async def slow(refresh_token: str) -> access.Tokens:
        bought = await rotation.buy(refresh_token)
        answered.set()
        await asyncio.sleep(0.05)
        return bought

    renewal = asyncio.ensure_future(console.renew(slow))
    await answered.wait()
    renewal.cancel()
    with pytest.raises(asyncio.CancelledError):
        await renewal
    session = kept.read()
    assert session is not None
    assert session.refresh_token == rotation.good


async def test_token_is_sent_only_to_its_server(kept: SavedSessionFile, tmp_path: Path) -> None:
    await begin_session(kept)
    assert SavedSessionFile("prod", "https://elsewhere", tmp_path / "sessions").read() is None
    assert kept.read() is not None


async def test_console_and_scripts_share_the_session_of_the_bundled_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    running = PretendedServer(tmp_path)
    place = await Bundled(Path()).open()
    script = resolve_named_server(ServerChoice(profile=LOCAL, data_dir=tmp_path), Profiles(tmp_path))
    assert script is not None
    assert place.kept is not None, "the form offers to stay signed in"
    assert (place.kept.profile, place.kept.server) == (script.kept.profile, script.kept.server)
    running.close()


async def test_directory_whose_name_is_no_text_has_a_session(
    kept: SavedSessionFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    there = saved_session_of_bundled(Path(os.fsdecode(b"/srv/\xff")))
    await begin_session(there)
    assert there.read() is not None


async def test_session_file_is_private(kept: SavedSessionFile, tmp_path: Path) -> None:
    await begin_session(kept)
    assert stat.S_IMODE((tmp_path / "sessions").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "sessions" / "prod.json").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "sessions").iterdir() if "access" in path.read_text()] == []


RING = """
import json, time
from pathlib import Path
from keyring.backend import KeyringBackend

class Ring(KeyringBackend):
    priority = 1
    path = Path(__file__).with_name("ring.json")

    def _all(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, name):
        return self._all().get(f"{service}/{name}")

    def set_password(self, service, name, secret):
        self.path.write_text(json.dumps({**self._all(), f"{service}/{name}": secret}))

    def delete_password(self, service, name):
        self.path.write_text(json.dumps({k: v for k, v in self._all().items() if k != f"{service}/{name}"}))

class Hanging(Ring):
    def set_password(self, service, name, secret):
        time.sleep(60)

class Locked(Ring):
    def get_password(self, service, name):
        if self.path.with_name("locked").exists():
            raise RuntimeError("the keyring is locked")
        return super().get_password(service, name)

class Failing(Ring):
    def set_password(self, service, name, secret):
        raise RuntimeError("the keyring is locked")
"""


@pytest.mark.parametrize(("backend", "in_ring"), [("Ring", True), ("Hanging", False), ("Failing", False)])
def test_working_keyring_is_used_and_a_hung_one_is_not_waited_for(
    run: Run, server: Server, home: Path, tmp_path: Path, backend: str, in_ring: bool
) -> None:
    (tmp_path / "test_ring.py").write_text(RING)
    desktop = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": f"test_ring.{backend}"}
    done = run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n", **desktop)
    assert done.returncode == 0, done.stderr
    (path,) = home.rglob("sessions/*.json")
    assert (json.loads(path.read_text())["refresh_token"] == "keyring") is in_ring
    wake = tmp_path / "ring.json"
    assert (wake.exists() and len(json.loads(wake.read_text())) == 1) is in_ring
    assert run("vm", "ls", **desktop).returncode == 0
    assert run("logout", **desktop).returncode == 0
    assert not list(home.rglob("sessions/*.json"))
    assert not wake.exists() or json.loads(wake.read_text()) == {}


def test_keyring_that_does_not_answer_signs_nobody_out(run: Run, server: Server, home: Path, tmp_path: Path) -> None:
    (tmp_path / "test_ring.py").write_text(RING)
    desktop = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "test_ring.Locked"}
    assert run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n", **desktop).returncode == 0
    (tmp_path / "locked").touch()
    for command in (("vm", "ls"), ("logout",)):
        done = run(*command, **desktop)
        assert done.returncode == 1
        assert "keyring, which does not answer: unlock it" in done.stderr
    elsewhere = run("vm", "ls", DBUS_SESSION_BUS_ADDRESS="")
    assert "keyring, which does not answer" in elsewhere.stderr
    (tmp_path / "locked").unlink()
    assert run("vm", "ls", **desktop).returncode == 0
    (tmp_path / "locked").touch()
    again = run("login", "--server", server.url, "--user", "ann", typed=PASSWORD + "\n", **desktop)
    assert again.returncode == 0, again.stderr
    assert run("vm", "ls", **desktop).returncode == 0


async def test_renewal_waits_for_the_keyring(
    kept: SavedSessionFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The newest token may be another console's: the one in memory must not be exchanged instead."""
    rings: dict[str, str] = {}

    def locked(name: str) -> str | None:
        raise keyring.NoAnswer

    monkeypatch.setattr(keyring, "write", lambda name, secret: rings.update({name: secret}) is None)
    monkeypatch.setattr(keyring, "read", rings.get)
    console, rotation = await begin_session(kept), Rotation()
    with monkeypatch.context() as away:
        away.setattr(keyring, "read", locked)
        with pytest.raises(errors.Conflict, match="keyring, which does not answer"):
            await console.renew(rotation.buy)
        late = SharedCredentials(kept)
        assert late.unread is not None
        assert not late.refresh_token
    await console.renew(rotation.buy)
    assert console.token == "access-1"


async def test_file_that_cannot_be_read_now_is_no_end_of_the_session(kept: SavedSessionFile, tmp_path: Path) -> None:
    console, path = await begin_session(kept), tmp_path / "sessions" / "prod.json"
    saved = path.read_bytes()
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.Conflict, match=r"cannot be read: .*prod\.json: Is a directory"):
        await console.renew(Rotation().buy)
    path.rmdir()
    path.write_bytes(saved)
    await console.renew(Rotation().buy)
    assert console.token == "access-1"


def test_no_keyring_is_used_without_a_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.delenv("PYTHON_KEYRING_BACKEND", raising=False)
    assert keyring.write("x", "y") is False
    with pytest.raises(keyring.NoAnswer):
        keyring.read("x")


def test_concurrent_scripts_share_one_session_on_a_real_server(signed_in: Run, environment: dict[str, str]) -> None:
    many = [
        subprocess.Popen(
            [NOVACRON, "vm", "ls"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    assert [(script.wait(60), script.communicate()[1]) for script in many] == [(0, "")] * 6
    assert signed_in("vm", "ls").returncode == 0


async def test_real_server_accepts_rotated_tokens(server: Server, kept: SavedSessionFile) -> None:
    async with Client(server.url) as client:
        bought = await client.sign_in("ann", PASSWORD)
    kept.write(SavedSession(kept.server, bought.user.id, "ann", bought.refresh_token))
    async with Client(server.url, SharedCredentials(kept)) as one, Client(server.url, SharedCredentials(kept)) as two:
        first, second = await asyncio.gather(one.call(vms.LIST), two.call(vms.LIST))
    assert first.total == second.total


async def test_last_user_of_the_bundled_server_is_saved(tmp_path: Path) -> None:
    running = PretendedServer(tmp_path)
    place = await Bundled(tmp_path).open()
    assert place.user == ""
    assert place.remember is not None
    place.remember("ann")
    assert (await Bundled(tmp_path).open()).user == "ann"
    assert stat.S_IMODE((tmp_path / "last-user").stat().st_mode) == 0o600
    for strange in (b"\x1b[31mann", b"\xff\xfe", b"a\nb", b"x" * 1000):
        (tmp_path / "last-user").write_bytes(strange)
        assert (await Bundled(tmp_path).open()).user == ""
    running.close()
