"""Tokens, URLs and other values that no request can carry: one sentence, exit code 2. And no sentence has a secret."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from novacron_tui.servers.profiles import Profiles, why_not_name, why_not_url
from novacron_tui.servers.saved_session import SavedSession, SavedSessionFile
from tests.support.certificates import self_signed
from tests.support.command_line import Run, Server, one_line
from tests.support.proxies import canned, http_proxy, page

DEAD = "http://127.0.0.1:9"
CANARY = "canary-s3cret"


@pytest.mark.parametrize(
    "token", [f"{CANARY}\n", f"a\nb{CANARY}", f"{CANARY}é", f"{CANARY}\udcff", f"{CANARY}\x00"[:-1] + "\x1b"]
)
def test_token_that_no_header_can_carry_is_refused(run: Run, token: str) -> None:
    for words in (["vm", "ls"], ["events"], ["vm", "stop", "x"]):
        done = run(*words, "--server", DEAD, NOVACRON_TOKEN=token)
        assert (done.returncode, "NOVACRON_TOKEN or --token: the token contains" in one_line(done)) == (2, True)
        assert CANARY not in done.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"{DEAD}\n", "a line break, a space"),
        (f"http://127.0.0.1 :9/{CANARY}", "a line break, a space"),
        (f"{DEAD}\udcff", "not valid UTF-8"),
        (f"{DEAD}?token={CANARY}", f"use {DEAD}"),
        (f"{DEAD}/vms#{CANARY}", f"use {DEAD}/vms"),
        (f"{DEAD}?", f"use {DEAD}"),
        (f"http://ann:{CANARY}@127.0.0.1:9", "must not contain a user name or password"),
        (f"http://ann:{CANARY}@127.0.0.1:99999", "must not contain a user name or password"),
        (CANARY, "is not a server URL like"),
        (f"http://127.0.0.1:{CANARY}", "is not a server URL like"),
        (f"ftp://{CANARY}", "is not a server URL like"),
        ("http://a..b:1", "is not a server URL like"),
        ("http://-a", "is not a server URL like"),
        (f"http://{'a' * 64}.b", "is not a server URL like"),
    ],
)
def test_url_that_is_none_is_refused(run: Run, url: str, said: str) -> None:
    for done in (
        run("vm", "ls", NOVACRON_SERVER=url, NOVACRON_TOKEN="x"),
        run("login", "--server", url, "--user", "a"),
    ):
        assert (done.returncode, said in one_line(done)) == (2, True), done.stderr
        assert CANARY not in done.stderr


@pytest.mark.parametrize(
    "url", ["http://[::1]:8090", "https://kvm", "http://127.0.0.1:1/vms/", "https://größe.example", "HTTP://A:1"]
)
def test_good_url_is_accepted(url: str) -> None:
    assert why_not_url(url) is None


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://[::1]:8090", "localhost"),
        ("http://[2001:DB8::5]:8090", "2001-db8--5"),
        ("http://[::5]", "ipv6--5"),
        ("http://[fe80::1%eth0]:1", "fe80--1-eth0"),
        ("http://10.0.0.1:1", "10.0.0.1"),
    ],
)
def test_profile_of_an_address_has_a_useful_name(tmp_path: Path, url: str, name: str) -> None:
    assert Profiles(tmp_path).fresh(url).name == name
    assert why_not_name(name) is None


@pytest.mark.parametrize("host", ["xn--", "a_b", "ⓐ", "٣٣", "𝟘.𝟘", "x" * 63, "é" * 60, "☃", "1.2.3.4.5", "0x7f", "_"])
def test_strange_host_is_one_sentence(run: Run, host: str) -> None:
    for words, scheme in ((["events"], "http"), (["events"], "https"), (["login", "--user", "a"], "https")):
        done = run(*words, "--server", f"{scheme}://{host}.invalid:9", NOVACRON_TOKEN="x")
        assert done.returncode in (2, 3), done.stderr
        assert "internal error" not in one_line(done)


async def test_path_that_leads_nowhere_is_a_usage_error(run: Run) -> None:
    async with canned(page("404 Not Found")) as port:
        url = f"http://127.0.0.1:{port}/api"
        done = await asyncio.to_thread(run, "vm", "ls", "--server", url, NOVACRON_TOKEN="x")
    assert (done.returncode, url in one_line(done)) == (2, True)


def test_path_that_the_server_does_not_have_is_named(run: Run, server: Server) -> None:
    for words in (["vm", "ls"], ["events", "--watch"], ["login", "--user", "ann"]):
        done = run(*words, "--server", f"{server.url}/api", NOVACRON_TOKEN=server.token)
        assert (done.returncode, f"at {server.url}/api: leave the path away" in one_line(done)) == (2, True), (
            done.stderr
        )
    assert run("events", "--server", server.url, NOVACRON_TOKEN="x").returncode == 4


def test_fingerprint_that_is_none_is_refused(run: Run) -> None:
    url = "https://127.0.0.1:9"
    done = run("vm", "ls", "--server", url, NOVACRON_TOKEN="x", NOVACRON_CERTIFICATE=CANARY)
    assert (done.returncode, "NOVACRON_CERTIFICATE must be" in one_line(done), CANARY in done.stderr) == (
        2,
        True,
        False,
    )
    done = run("login", "--server", url, "--user", "a", "--certificate", CANARY)
    assert (done.returncode, "--certificate must be" in one_line(done), CANARY in done.stderr) == (2, True, False)


# -- secrets ------------------------------------------------------------------------------------------------------

TOKEN, REFRESH, PASSWORD, OF_PROXY = "canary-token", "canary-refresh", "canary-password", "canary-proxy"
COMMANDS = [["vm", "ls"], ["events", "--watch"], ["login", "--user", "ann"]]
WITH_SESSION = [["vm", "show", "x"], ["logout"]]
"""Commands that use the saved session instead of the token."""


class Watched:
    """Runs commands with secrets in all places that have some, and looks for them in what is printed."""

    def __init__(self, run: Run, home: Path) -> None:
        self._run = run
        self._home = home
        self.codes: set[int] = set()

    def __call__(self, url: str, *words: str, **more: str) -> None:
        for command in COMMANDS:
            self._watch(*command, "--server", url, *words, **{"NOVACRON_TOKEN": TOKEN, **more})
        if why_not_url(url) is None:
            for command in WITH_SESSION:
                self._save_session(url)
                self._watch(*command, "--server", url, *words, **more)

    def _watch(self, *words: str, **variables: str) -> None:
        done = self._run(*words, typed=f"{PASSWORD}\n", **variables)
        self.codes.add(done.returncode)
        assert "canary" not in done.stdout + done.stderr, (words, done.stdout, done.stderr)

    def _save_session(self, url: str) -> None:
        profile = Profiles(self._home).fresh(url)
        file = SavedSessionFile(profile.name, profile.url, self._home / ".local/state/novacron/sessions")
        file.write(SavedSession(profile.url, "1", "ann", REFRESH))


@pytest.fixture
def watched(run: Run, home: Path) -> Watched:
    return Watched(run, home)


def test_no_secret_is_printed_when_the_command_line_is_wrong(watched: Watched) -> None:
    for url in (f"http://ann:{PASSWORD}@127.0.0.1:9", f"http://a:{PASSWORD}@[::1", f"{DEAD}/?token={TOKEN}", TOKEN):
        watched(url)
    watched(DEAD, f"--password={PASSWORD}")
    watched(DEAD, "--certificate", PASSWORD, "--output", "nonsense")
    assert watched.codes == {2}


def test_no_secret_is_printed_when_nothing_can_be_reached(watched: Watched) -> None:
    watched(DEAD)
    watched("http://far.example:8090", HTTP_PROXY=f"http://u:{OF_PROXY}@127.0.0.1:9")
    watched("https://far.example:8090", HTTPS_PROXY=f"http://u:{OF_PROXY}@127.0.0.1:9")
    watched("https://far.example:8090", HTTPS_PROXY=f"http://u:{OF_PROXY}@[::1")
    watched("https://far.example:8090", ALL_PROXY=f"socks5://u:{OF_PROXY}@127.0.0.1:9")
    assert watched.codes == {2, 3}


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage canary-header\r\n\r\n", page("302 Found", f"Location: http://a/?x={TOKEN}"),
        page("403 Forbidden", text=f"<html>{TOKEN}"), page("200 OK", text=f"<html>{TOKEN}"),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n" + b'{"total": "canary-token"}',
    ],
)  # fmt: skip
async def test_no_secret_is_printed_whatever_answers(watched: Watched, answer: bytes) -> None:
    async with canned(answer) as port:
        await asyncio.to_thread(watched, f"http://127.0.0.1:{port}")


async def test_no_secret_is_printed_for_proxies_and_certificates(watched: Watched, tmp_path: Path) -> None:
    async with http_proxy(9, refuse="407 Proxy Authentication Required") as proxy:
        for scheme in ("http", "https"):
            address = f"http://u:{OF_PROXY}@127.0.0.1:{proxy.port}"
            await asyncio.to_thread(watched, f"{scheme}://far.example", ALL_PROXY=address)
    async with canned(b"", self_signed(tmp_path, "one").server_context()) as port:
        url = f"https://127.0.0.1:{port}"
        await asyncio.to_thread(watched, url)
        await asyncio.to_thread(watched, url, NOVACRON_CERTIFICATE="AB" * 32)
