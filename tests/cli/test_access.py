"""`session`, `token`, `totp` and `rotate-keys`, on a real server."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import time
from pathlib import Path

import jwt
import pyotp
import pytest

from novacron_core.api import access
from novacron_core.client import Client, Credentials
from tests.support.accounts import PASSWORD, administrator
from tests.support.command_line import Run, Server, one_line
from tests.support.processes import NOVACRON, serve
from tests.support.scratch import scratch
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until


def add_user(server: Server, name: str) -> None:
    async def add() -> None:
        async with Client(server.url, Credentials(server.token)) as client:
            await client.call(access.REGISTER, body=access.Register(username=name, password=PASSWORD))

    asyncio.run(add())


def test_sessions_are_listed_and_ended(signed_in: Run, server: Server, environment: dict[str, str]) -> None:
    async def elsewhere() -> str:
        async with Client(server.url) as client:
            return (await client.sign_in("ann", PASSWORD)).token

    other = asyncio.run(elsewhere())
    found = json.loads(signed_in("session", "ls", "-o", "json").stdout)
    assert [each["current"] for each in found].count(True) == 1
    table = signed_in("session", "ls").stdout
    assert table.splitlines()[0].split() == ["BEGUN", "USED", "TENANT", "ADDRESS", "CLIENT", "ID"]
    assert table.count("this one") == 1
    newest = max((each for each in found if not each["current"]), key=lambda each: each["created_at"])
    done = signed_in("session", "end", newest["id"])
    assert (done.returncode, done.stdout) == (0, f"Ended session {newest['id']}\n")
    assert signed_in("vm", "ls", NOVACRON_SERVER=server.url, NOVACRON_TOKEN=other).returncode == 4
    done = signed_in("session", "end", newest["id"])
    assert (done.returncode, one_line(done)) == (1, "novacron: session not found\n")


def test_token_works_read_only_in_a_pipeline(signed_in: Run, server: Server) -> None:
    done = signed_in("token", "create", "pipeline", "--read-only", "--days", "7")
    token = done.stdout.strip()
    assert done.returncode == 0 and token.startswith("nvt_") and "not shown again" in done.stderr
    pipeline = {"NOVACRON_SERVER": server.url, "NOVACRON_TOKEN": token}
    assert signed_in("vm", "ls", **pipeline).returncode == 0
    for words in (("vm", "start", "test"), ("vm", "delete", "test", "--yes"), ("token", "create", "more")):
        refused = signed_in(*words, **pipeline)
        assert (refused.returncode, "this API token is limited" in one_line(refused)) == (1, True)
    listed = signed_in("token", "ls").stdout
    assert "pipeline" in listed and "reading" in listed and token not in listed
    assert signed_in("token", "ls", "--all").stdout.splitlines()[1].split()[:2] == ["pipeline", "ann"]
    assert signed_in("token", "create", "pipeline").returncode == 1
    done = signed_in("token", "revoke", "pipeline")
    assert (done.returncode, done.stdout) == (0, "Revoked API token pipeline\n")
    refused = signed_in("vm", "ls", **pipeline)
    assert (refused.returncode, "This API token is not valid" in one_line(refused)) == (4, True)
    assert token not in refused.stderr
    assert "you have no API token pipeline" in one_line(signed_in("token", "revoke", "pipeline"))


@pytest.mark.parametrize(
    "words",
    [
        ["a b"],
        ["x", "--permission", "vm:nonsense"],
        ["x", "--permission", "self:change"],
        ["x", "--read-only", "--permission", "vm:read"],
        ["x", "--days", "0"],
        ["x", "--days", "367"],
    ],
)
def test_wrong_flags_of_a_token_are_a_usage_error(signed_in: Run, words: list[str]) -> None:
    done = signed_in("token", "create", *words)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_console_works_with_a_token_and_leaves_it(signed_in: Run, server: Server, environment: dict[str, str]) -> None:
    token = signed_in("token", "create", "console", "--read-only").stdout.strip()
    given = {**environment, "NOVACRON_TOKEN": token}
    with Terminal([NOVACRON, "--server", server.url], columns=140, rows=40, environment=given) as terminal:
        terminal.see("LIVE")
        terminal.press("x")
        terminal.see("this API token is limited: it lacks the permission vm:change")
        terminal.press("escape", "ctrl+q")
        assert terminal.wait_end(20) == 0
    assert signed_in("vm", "ls", NOVACRON_SERVER=server.url, NOVACRON_TOKEN=token).returncode == 0
    signed_in("token", "revoke", "console")


def code_of(secret: str, steps: int) -> str:
    return pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + steps)


def test_second_factor_is_set_up_asked_for_and_turned_off(
    run: Run, server: Server, environment: dict[str, str]
) -> None:
    add_user(server, "bob")
    login = ("login", "--server", server.url, "--user", "bob")
    assert run(*login, typed=f"{PASSWORD}\n").returncode == 0
    words = [NOVACRON, "totp", "set-up"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as setting_up:
        assert setting_up.stdin is not None and setting_up.stdout is not None
        setting_up.stdin.write(f"{PASSWORD}\n")
        setting_up.stdin.flush()
        secret = setting_up.stdout.readline().split()[1]
        assert setting_up.stdout.readline().startswith("uri  otpauth://totp/NovaCron:bob?")
        rest, said = setting_up.communicate(f"{code_of(secret, -1)}\n", timeout=60)
    assert setting_up.returncode == 0, said
    recovery = [line.strip() for line in rest.splitlines() if line.startswith("  ")]
    assert len(recovery) == 10
    assert "on" in run("totp", "show").stdout
    refused = run(*login, typed=f"{PASSWORD}\n")
    assert (refused.returncode, "the code is missing" in one_line(refused)) == (2, True)
    refused = run(*login, typed=f"{PASSWORD}\n000000\n")
    assert (refused.returncode, "This code is wrong" in one_line(refused)) == (4, True)
    assert run(*login, typed=f"{PASSWORD}\n{recovery[0]}\n").returncode == 0
    with Terminal([NOVACRON, *login], columns=120, environment=environment) as terminal:
        terminal.see("Password for bob: ")
        terminal.type(f"{PASSWORD}\r")
        terminal.see("Code of your authenticator app")
        terminal.type(f"{recovery[1]}\r")
        assert terminal.wait_end(30) == 0
        assert recovery[1] not in terminal.text()
    refused = run("totp", "off", typed=f"{PASSWORD}\n{recovery[1]}\n")
    assert (refused.returncode, "The password or the code is wrong" in one_line(refused)) == (1, True)
    assert run("totp", "off", typed=f"{PASSWORD}\n{code_of(secret, 1)}\n").returncode == 0
    assert run(*login, typed=f"{PASSWORD}\n").returncode == 0


def test_terminal_shows_a_qr_code(run: Run, server: Server, environment: dict[str, str]) -> None:
    add_user(server, "carol")
    assert run("login", "--server", server.url, "--user", "carol", typed=f"{PASSWORD}\n").returncode == 0
    with Terminal([NOVACRON, "totp", "set-up"], columns=100, rows=40, environment=environment) as terminal:
        terminal.see("Password for carol: ")
        terminal.type(f"{PASSWORD}\r")
        terminal.see("type its secret: [A-Z2-7]{32}")
        terminal.see("▀▀▀▀▀")
        terminal.see("Code that the app shows now: ")
        terminal.press("ctrl+c")
        assert terminal.wait_end(20) == 130


def key_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_running_server_signs_with_rotated_keys(run: Run) -> None:
    with scratch() as folder, serve(folder) as (url, _):
        before = asyncio.run(administrator(url, folder))

        async def sign_in() -> str:
            async with Client(url) as client:
                return (await client.sign_in("ann", PASSWORD)).token

        def exit_code() -> int:
            return run("vm", "ls", NOVACRON_SERVER=url, NOVACRON_TOKEN=before).returncode

        assert exit_code() == 0
        done = run("rotate-keys", "--data-dir", str(folder), cold=True)
        new = json.loads((folder / "secrets.json").read_text())["signing_keys"][0]
        assert (done.returncode, done.stdout) == (0, f"Signing with the new key {new['kid']}\n")
        assert new["secret"] not in done.stdout + done.stderr
        wait_until(lambda: key_of(asyncio.run(sign_in())) == new["kid"])
        assert exit_code() == 0, "a token of before is valid until it expires"
        assert run("rotate-keys", cold=True, NOVACRON_DATA_DIR=str(folder)).returncode == 0
        wait_until(lambda: exit_code() == 4)
        assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600


def test_keys_are_rotated_only_in_a_data_directory(run: Run, tmp_path: Path) -> None:
    done = run("rotate-keys", "--data-dir", str(tmp_path), cold=True)
    assert (done.returncode, "is not the data directory of a server" in done.stderr) == (1, True)
    assert list(tmp_path.glob("secrets*")) == []
