"""Which server runs on a data directory: the lock says so, not a file that a crash leaves behind."""

from __future__ import annotations

import multiprocessing
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from novacron_core import errors
from novacron_core.api.access import LOGOUT
from novacron_core.client import Client, Credentials, Disconnected, stream
from novacron_core.local_server import KEY, LOCK, RunningServer, make_private, read_running_server, require_proof
from novacron_server.lock_file import open_lock
from novacron_tui.cli.runtime.connect import resolve_named_server
from novacron_tui.servers.bundled import Bundled
from novacron_tui.servers.profiles import Profiles
from novacron_tui.servers.server_choice import ServerChoice
from tests.support.processes import PretendedServer, pretend_to_run

URL = "http://127.0.0.1:5"


def test_holder_of_the_lock_is_the_running_server(tmp_path: Path) -> None:
    lock = pretend_to_run(tmp_path, URL)
    running = read_running_server(tmp_path)
    assert running is not None
    assert (running.url, running.pid) == (URL, os.getpid())
    lock.close()
    assert read_running_server(tmp_path) is None, "the process still runs, and is not the server any more"


def test_program_with_the_number_of_a_dead_server_gets_no_password(tmp_path: Path) -> None:
    """The number of a server that was killed belongs to another program now, which may listen at its port."""
    stranger = subprocess.Popen(["sleep", "60"], user=65534 if os.geteuid() == 0 else None)
    try:
        pretend_to_run(tmp_path, URL).close()
        (tmp_path / "server.json").write_text(f'{{"url": "{URL}", "pid": {stranger.pid}}}')
        assert read_running_server(tmp_path) is None
        (tmp_path / LOCK).unlink()
        assert read_running_server(tmp_path) is None
    finally:
        stranger.kill()
        stranger.wait()


def as_nobody(ask: Callable[[], object]) -> object:
    """The answer to a question that another user's process asks."""
    ours, theirs = multiprocessing.Pipe()

    def child() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            theirs.send(ask())
        except OSError as e:
            theirs.send(e)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    answer: object = ours.recv()
    process.join(30)
    return answer


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_other_user_cannot_hold_the_lock(data_dir: Path) -> None:
    lock = pretend_to_run(data_dir, URL)
    opened = as_nobody(lambda: (data_dir / LOCK).open("rb").close())
    lock.close()
    assert isinstance(opened, PermissionError)


def test_old_lock_file_that_anybody_could_open_becomes_private(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch(mode=0o644)
    open_lock(tmp_path / LOCK).close()
    assert stat.S_IMODE((tmp_path / LOCK).stat().st_mode) == 0o600


def test_server_of_the_directory_proves_itself(tmp_path: Path) -> None:
    server = PretendedServer(tmp_path)
    require_proof(RunningServer(server.url, os.getpid()), tmp_path)
    server.close()


async def test_program_that_cannot_prove_itself_gets_no_token(tmp_path: Path) -> None:
    """It holds the lock and listens, so everything but the secret key is right."""
    stranger = PretendedServer(tmp_path, key="guessed")
    with pytest.raises(errors.ServerUnreachable, match="is not the server of"):
        await Bundled(tmp_path).open()
    with pytest.raises(errors.ServerUnreachable, match="is not the server of"):
        resolve_named_server(ServerChoice(profile="local", data_dir=tmp_path), Profiles(tmp_path))
    assert stranger.asked == ["GET /api/proof"] * 2
    stranger.close()


def test_proof_of_a_server_at_another_port_is_not_taken(tmp_path: Path) -> None:
    """A stranger could pass on the nonce to the real server, and its answer to us."""
    server = PretendedServer(tmp_path)
    relay = socket.create_server(("127.0.0.1", 0))

    def pass_on() -> None:
        there, _ = relay.accept()
        request = there.recv(65536)
        with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as real:
            real.sendall(request)
            real.shutdown(socket.SHUT_WR)
            while chunk := real.recv(65536):
                there.sendall(chunk)
        there.close()

    threading.Thread(target=pass_on, daemon=True).start()
    with pytest.raises(errors.ServerUnreachable, match="is not the server of"):
        require_proof(RunningServer(f"http://127.0.0.1:{relay.getsockname()[1]}", os.getpid()), tmp_path)
    assert server.asked == ["GET /api/proof"]
    server.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 404 No\r\n\r\nno", b"HTTP/1.1 200 OK\r\n\r\n[]", b"\xff\r\n\r\n"])
def test_anything_else_at_the_port_is_no_proof(tmp_path: Path, answer: bytes) -> None:
    (tmp_path / KEY).write_text("k")
    listening = socket.create_server(("127.0.0.1", 0))

    def reply() -> None:
        there, _ = listening.accept()
        there.recv(65536)
        there.sendall(answer)
        there.close()

    threading.Thread(target=reply, daemon=True).start()
    running = RunningServer(f"http://127.0.0.1:{listening.getsockname()[1]}", os.getpid())
    with pytest.raises(errors.ServerUnreachable):
        require_proof(running, tmp_path)
    listening.close()


@pytest.mark.parametrize("pid", ["99999999999999999999999", "-1", "1.5", '"x"', "[" * 100_000])
async def test_server_file_with_nonsense_names_no_server(tmp_path: Path, pid: str) -> None:
    lock = pretend_to_run(tmp_path, URL)
    (tmp_path / "server.json").write_text(f'{{"url": "{URL}", "pid": {pid}}}')
    assert read_running_server(tmp_path) is None
    lock.close()


@pytest.mark.parametrize("url", ["http://[::1", "http://a:b", "", "\x9b", "http://\u2024:1"])
def test_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / KEY).write_text("k")
    with pytest.raises(errors.ServerUnreachable):
        require_proof(RunningServer(url, os.getpid()), tmp_path)


async def test_files_that_are_no_text_are_not_used(tmp_path: Path) -> None:
    server = PretendedServer(tmp_path)
    (tmp_path / "setup-token").write_bytes(b"\xff")
    place = await Bundled(tmp_path).open()
    assert place.setup_token is not None
    assert place.setup_token() is None
    (tmp_path / KEY).write_bytes(b"\xff")
    with pytest.raises(errors.ServerUnreachable, match="cannot be read"):
        await Bundled(tmp_path).open()
    server.close()


def test_directory_without_its_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ServerUnreachable, match="--server URL"):
        require_proof(RunningServer(URL, os.getpid()), tmp_path)


async def test_token_and_password_are_not_sent_to_whoever_took_the_port_meanwhile(tmp_path: Path) -> None:
    server = PretendedServer(tmp_path)
    place = await Bundled(tmp_path).open()
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.url.path)
        return httpx.Response(401, json={"status": 401, "code": "unauthenticated", "title": "t", "detail": "d"})

    credentials = Credentials(refresh_token="the refresh token")
    transport = httpx.MockTransport(answer)
    client = Client(place.url, credentials, transport=transport, verify=place.verify)
    with pytest.raises(errors.Unauthenticated):
        await client.refresh()
    server.close()
    stranger = PretendedServer(tmp_path, key="guessed")
    (tmp_path / "server.json").write_text(f'{{"url": "{place.url}", "pid": {os.getpid()}}}')
    client.credentials = Credentials(refresh_token="the refresh token")
    for attempt in (client.refresh(), client.sign_in("ann", "a password")):
        with pytest.raises(errors.ServerUnreachable):
            await attempt
    assert sent == ["/auth/refresh"], "only while the server was there"
    stranger.close()
    await client.close()


async def test_access_token_is_not_sent_to_whoever_took_the_port_during_an_outage(tmp_path: Path) -> None:
    server = PretendedServer(tmp_path)
    place = await Bundled(tmp_path).open()
    sent, is_up = list[str](), True

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["Authorization"])
        if not is_up:
            raise httpx.ReadError("the server has ended")
        return httpx.Response(204)

    client = Client(
        place.url, Credentials("the access token"), transport=httpx.MockTransport(answer), verify=place.verify
    )
    await client.call(LOGOUT)
    await client.call(LOGOUT)
    assert server.asked.count("GET /api/proof") == 2, "when it was opened, and before the first token"
    is_up = False
    with pytest.raises(errors.ServerUnreachable):
        await client.call(LOGOUT)
    server.close()
    stranger = PretendedServer(tmp_path, key="guessed", port=int(place.url.rpartition(":")[2]))
    is_up, before = True, len(sent)
    with pytest.raises(errors.ServerUnreachable):
        await client.call(LOGOUT)
    assert isinstance(await anext(stream(client)), Disconnected)
    assert len(sent) == before
    assert set(stranger.asked) == {"GET /api/proof"}, "and no stream with the token"
    stranger.close()
    await client.close()


def test_only_regular_files_are_made_private(tmp_path: Path) -> None:
    """A log may be a link to /dev/null: root would take that from everybody."""
    os.mkfifo(tmp_path / "pipe", 0o644)
    (tmp_path / "file").touch(mode=0o644)
    for name in ("pipe", "file"):
        descriptor = os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK)
        make_private(descriptor)
        os.close(descriptor)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("pipe", "file")]
    assert modes == [0o644, 0o600]
