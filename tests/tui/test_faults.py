"""A fault of the console's own ends it with one sentence, and no variable's value stands anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from novacron_core.client import Client, Update, stream
from novacron_tui import app as app_module
from novacron_tui.cli.runtime.exit_codes import FAILED, exit_code_of_run
from novacron_tui.screens.vm_list import VMListScreen
from novacron_tui.servers.server_choice import ServerChoice
from novacron_tui.startup.launch import open_console
from tests.support.console.looking import until
from tests.support.console.wire import Wire, console, refuse

SECRET = "correct-horse-" + "battery"


def in_a_handler(screen: VMListScreen) -> None:
    password = SECRET
    raise ValueError(f"injected, with a variable of {len(password)} letters")


def in_a_worker(screen: VMListScreen) -> None:
    async def work() -> None:
        in_a_handler(screen)

    screen.run_worker(work())


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("NOVACRON_DEBUG", raising=False)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, fail: Callable[[VMListScreen], None]) -> int:
    """The console as its command opens it, with a screen that fails when it draws."""
    app = console(Wire())
    monkeypatch.setattr(VMListScreen, "refresh_body", fail)
    app.run = partial(app.run, headless=True)  # type: ignore[method-assign]
    monkeypatch.setattr(app_module, "Console", lambda *_, **__: app)
    return exit_code_of_run(lambda: open_console(ServerChoice(), [], "", False))


@pytest.mark.parametrize("fail", [in_a_handler, in_a_worker])
def test_it_says_one_sentence_and_writes_down_where_without_values(
    fail: Callable[[VMListScreen], None],
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = run(monkeypatch, fail)
    said = capfd.readouterr()
    details = state / "novacron" / "fault.txt"
    assert code == FAILED
    assert said.err.splitlines() == [
        f"novacron: internal error: ValueError: injected, with a variable of 21 letters (traceback in {details})"
    ]
    written = details.read_text()
    assert "in_a_handler" in written
    assert "password" in written, "the line of code"
    assert SECRET not in said.out + said.err + written
    assert details.stat().st_mode & 0o077 == 0


async def test_renewal_that_is_refused_for_now_is_no_fault() -> None:
    """The token must be renewed at a reconnect, while the server's database is down."""
    wire = Wire()
    wire.routes["POST /auth/refresh"] = lambda _: refuse(503, "database_unavailable", "the database is down")

    def updates(client: Client, after: int | None) -> AsyncIterator[Update]:
        client.credentials.token, client.credentials.refresh_token = "", "r"
        return stream(client, after=after)

    app = console(wire, updates)
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.session is not None and app.session.store.reason == "the database is down")
        await until(pilot, lambda: len(wire.asked("POST", "/auth/refresh")) > 1, "it is tried again")
    assert app.fault is None


def test_where_nothing_can_be_written_the_sentence_still_comes(
    state: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (state / "novacron").write_text("a file where a folder should be")
    assert run(monkeypatch, in_a_handler) == FAILED
    assert capfd.readouterr().err.endswith("letters (set NOVACRON_DEBUG=1 for a traceback)\n")
