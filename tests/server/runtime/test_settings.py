"""Settings that are unsafe are refused before anything is started."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from novacron_core.errors import InvalidArgument
from novacron_server.__main__ import app
from novacron_server.http.protocol import Connections
from novacron_server.runtime.settings import Settings


@pytest.mark.parametrize(
    "proxy", ["*", "0.0.0.0/0", "::/0", "nonsense !", "10.0.0.1/8", ",", "0.0.0.0/1,128.0.0.0/1", "::/1"]
)
def test_proxy_that_would_be_anybody_is_refused(tmp_path: Path, proxy: str) -> None:
    with pytest.raises(InvalidArgument, match="--behind-proxy"):
        Settings(tmp_path, host="0.0.0.0", behind_proxy=proxy).check()


def test_only_the_proxy_may_connect(tmp_path: Path) -> None:
    settings = Settings(tmp_path, host="0.0.0.0", behind_proxy="192.0.2.7, 2001:db8::/64")
    settings.check()
    connections = Connections(peers=settings.proxies)
    assert [connections.admits(address) for address in ("192.0.2.7", "2001:db8::9")] == [True, True]
    assert [connections.admits(address) for address in ("192.0.2.8", "127.0.0.1", "", "x")] == [False] * 4
    assert Connections().admits("198.51.100.1")


def test_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.touch(mode=0o644)
    with pytest.raises(InvalidArgument, match="chmod 600"):
        Settings(tmp_path, tls_cert=key, tls_key=key).check()
    key.chmod(0o600)
    Settings(tmp_path, tls_cert=key, tls_key=key).check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_budget_s", math.inf),
        ("database_budget_s", math.nan),
        ("samples_kept_hours", 20_000_000),
        ("requests_per_minute", 0),
        ("sign_ins_per_minute", -1),
        ("idle_connections", 0),
        ("sessions_per_user", 0),
        ("session_idle_hours", 0),
        ("session_idle_hours", 25),
        ("idle_stop_s", -1.0),
    ],
)
def test_number_with_which_nothing_would_work_is_refused(tmp_path: Path, name: str, value: float) -> None:
    wrong: dict[str, Any] = {name: value}
    settings = replace(Settings(tmp_path), **wrong)
    with pytest.raises(InvalidArgument, match=f"--{name.replace('_', '-')} must be from"):
        settings.check()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"port = 1\n# caf\xe9\n", "cannot read"),
        (b"database-ulr = 'postgresql://h/d'\n", "'database-ulr', which is no flag"),
        (b"port = 'many'\n", "'--port'"),
        (b"port = true\n", "this flag is no switch"),
    ],
)
def test_settings_file_that_is_not_understood_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(content)
    ended = CliRunner().invoke(app, ["--settings", str(file)])
    assert ended.exit_code == 2
    assert says in " ".join(ended.output.replace("│", " ").split())


def test_settings_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ended = CliRunner().invoke(app, ["--settings", str(tmp_path / "pipe")])
    assert (ended.exit_code, "it is not a file" in ended.output) == (2, True)


def test_single_value_of_a_list_needs_no_brackets(tmp_path: Path) -> None:
    """The data directory is refused, so nothing starts."""
    file = tmp_path / "settings.toml"
    file.write_text("hypervisor = 'test:///default'\norigin = 'https://c.example'\nprometheus = 'odd'\n")
    ended = CliRunner().invoke(app, ["--settings", str(file), "--data-dir", str(tmp_path)])
    assert "prometheus must be" in ended.output
