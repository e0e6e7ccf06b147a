"""The console with a server given by a flag, by key presses: profile, saved session and certificate."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from novacron_tui.terminal.type_ahead import HABIT_S
from tests.support.accounts import PASSWORD
from tests.support.command_line import Run, Server
from tests.support.console_keys import sign_in
from tests.support.processes import NOVACRON
from tests.support.terminal import Terminal

Open = Callable[..., Terminal]


@pytest.fixture
def console(environment: dict[str, str]) -> Iterator[Open]:
    """Opens `novacron …` for the user with the empty home. All consoles are closed at the end."""
    opened: list[Terminal] = []

    def open_console(*words: str, **more: str) -> Terminal:
        terminal = Terminal([NOVACRON, *words], environment={**environment, **more})
        opened.append(terminal.__enter__())
        return terminal

    yield open_console
    for terminal in opened:
        terminal.__exit__(None, None, None)


def leave(terminal: Terminal) -> None:
    terminal.press("q")
    assert terminal.wait_end(10) == 0


def sign_in_and_stay(terminal: Terminal) -> None:
    terminal.see("Sign in", 30)
    terminal.type("ann\r")
    terminal.type(PASSWORD)
    terminal.press("tab", "space")
    terminal.see(r"\[x\] stay signed in")
    terminal.press("shift+tab", "enter")
    terminal.see("LIVE.*ann", 20)


def sessions(home: Path) -> list[Path]:
    return list(home.rglob("sessions/*.json"))


def test_profile_is_saved_but_the_session_only_on_request(console: Open, server: Server, run: Run, home: Path) -> None:
    first = console("--server", server.url)
    sign_in(first)
    leave(first)
    assert sessions(home) == []
    second = console("--profile", "127.0.0.1")
    second.see("Sign in", 20)
    second.see("User.*ann")
    second.type(PASSWORD + "\r")
    second.see("LIVE.*ann", 20)
    assert run("vm", "ls").returncode == 4


def test_saved_session_is_used_by_consoles_and_scripts(console: Open, server: Server, run: Run, home: Path) -> None:
    first = console("--server", server.url)
    sign_in_and_stay(first)
    assert run("vm", "ls").returncode == 0
    leave(first)
    assert len(sessions(home)) == 1
    second = console("--server", server.url)
    second.see("LIVE.*ann", 20)
    third = console("--profile", "127.0.0.1")
    third.see("LIVE.*ann", 20)
    second.see("LIVE.*ann")
    time.sleep(HABIT_S + 0.2)  # keys of the first second may be a password
    leave(second)
    assert run("vm", "ls").returncode == 0
    assert run("logout").returncode == 0
    third.see("Sign in", 20)
    leave_by_force(third)
    fourth = console("--server", server.url)
    fourth.see("Sign in", 20)


def leave_by_force(terminal: Terminal) -> None:
    terminal.press("ctrl+q")
    assert terminal.wait_end(10) == 0


def test_token_does_not_use_the_saved_session(console: Open, server: Server, signed_in: Run, home: Path) -> None:
    (kept,) = sessions(home)
    before = json.loads(kept.read_text())
    terminal = console("--server", server.url, NOVACRON_TOKEN="not-a-token")
    terminal.see("The token was rejected", 20)
    assert json.loads(kept.read_text()) == before
    assert signed_in("vm", "ls").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--server", "nonsense"], "is not a server URL like"),
        (["--profile", "nobody"], "unknown profile"),
        (["--server", "http://h", "--profile", "Bad Name"], "lower-case"),
    ],
)
def test_unknown_server_is_refused_before_the_screen_opens(console: Open, words: list[str], said: str) -> None:
    terminal = console(*words)
    terminal.see(said)
    assert terminal.wait_end(10) in (1, 2)


def test_console_of_this_machine_goes_live_whatever_proxy_is_set(console: Open, server: Server) -> None:
    terminal = console("--server", server.url, HTTP_PROXY="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9")
    sign_in(terminal)
    leave(terminal)


def test_proxy_that_refuses_is_named_on_the_screen(console: Open) -> None:
    terminal = console("--server", "http://far.example:8090", HTTP_PROXY="http://u:canary@127.0.0.1:9")
    terminal.see("the proxy http://127.0.0.1:9", 20)
    terminal.see("refused")
    assert "canary" not in terminal.text()
    leave_by_force(terminal)


@pytest.mark.parametrize(
    ("more", "said", "code"),
    [
        ({"HTTP_PROXY": "nonsense://canary"}, "HTTP_PROXY is not the address of a proxy", 2),
        ({"NOVACRON_TOKEN": "canary\n"}, "the token contains a line break", 2),
    ],
)
def test_setting_that_cannot_work_is_refused_before_the_screen_opens(
    console: Open, more: dict[str, str], said: str, code: int
) -> None:
    terminal = console("--server", "http://far.example:8090", **more)
    terminal.see(said)
    assert terminal.wait_end(10) == code
    assert "canary" not in terminal.text()
