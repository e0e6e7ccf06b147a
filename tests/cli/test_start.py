"""Which arguments open the console directly, and which need the whole command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from novacron_tui.startup import start


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for name in start._TYPER_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--server", "http://a:1"],
        ["--server=http://a:1", "--token", "x"],
        ["--data-dir", "/x", "--hypervisor", "a", "--hypervisor", "b", "--ascii", "--theme", "light"],
        ["--profile", "home"],
    ],
)
def test_console_flags_open_it_directly(words: list[str]) -> None:
    assert start._console_flags(words) is not None


@pytest.mark.parametrize(
    "words",
    [
        ["vm", "ls"],
        ["--server", "http://a:1", "vm", "ls"],
        ["serve"],
        ["--help"],
        ["--version"],
        ["--serv", "http://a:1"],
        ["--server"],
        ["--server", ""],
        ["--nonsense"],
        ["--", "x"],
    ],
)
def test_other_arguments_use_the_whole_command_line(words: list[str]) -> None:
    assert start._console_flags(words) is None


def test_both_parsers_have_the_same_flags() -> None:
    import typer

    from novacron_tui.startup.command_line import app

    known = {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
    ours = {"--server", "--profile", "--token", "--data-dir", "--theme", "--hypervisor", "--ascii", "--read-only"}
    assert known - {"--version", "--install-completion", "--show-completion"} == ours


def test_console_imports_neither_typer_nor_pydantic() -> None:
    code = "import novacron_tui.startup.start, novacron_tui.startup.launch, novacron_tui.app, novacron_tui.servers.server_choice, sys; print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not modules & {"typer", "pydantic", "httpx", "websockets"}
