"""`novacron demo` in a terminal: a simulated fleet without libvirt's daemon and QEMU, of which nothing is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import NOVACRON, stop_server
from tests.support.terminal import Terminal
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
NOTE = "Simulated fleet: nothing here touches this machine. q leaves and removes it"
Demo = Callable[..., Terminal]


@pytest.fixture
def home(work_folder: Path) -> Path:
    """The operator's home; a demo must leave it as it is."""
    path = work_folder / "home"
    path.mkdir()
    return path


@pytest.fixture
def environment(work_folder: Path, home: Path) -> dict[str, str]:
    """With temporary files of this test alone, with what could lead a demo to the operator's own servers, and without
    QEMU in the path."""
    (work_folder / "tmp").mkdir(mode=0o711)
    return {
        "TMPDIR": str(work_folder / "tmp"),
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_DATA_HOME": str(home / "data"),
        "PATH": str(Path(sys.executable).parent),
        "NOVACRON_DATA_DIR": str(home / "own"),
        "NOVACRON_DATABASE_URL": "postgresql://nowhere/none",
        "NOVACRON_SETTINGS": "/nonexistent",
        "LIBVIRT_DEFAULT_URI": "qemu+unix:///system?socket=/nonexistent",
    }


@pytest.fixture
def demo(environment: dict[str, str]) -> Iterator[Demo]:
    """Opens `novacron demo`; all are closed at the end."""
    opened: list[Terminal] = []

    def open_demo(*words: str, before: tuple[str, ...] = ()) -> Terminal:
        command = [*before, sys.executable, NOVACRON, "demo", "--vms", "12", *words]
        opened.append(Terminal(command, environment=environment).__enter__())
        return opened[-1]

    yield open_demo
    for terminal in opened:
        terminal.__exit__(None, None, None)


def left(work_folder: Path) -> list[str]:
    """The files and processes of demos of this test."""
    files = [str(path) for path in (work_folder / "tmp").iterdir()]
    processes = [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(str(work_folder / "tmp") in word for word in process.info["cmdline"] or ())
    ]
    return [*files, *processes]


def see_fleet(terminal: Terminal) -> None:
    terminal.see(re.escape(NOTE), 60)
    terminal.see("demo +● LIVE +SIMULATED +3 hosts up", 60)
    terminal.see(r"● running +kvm-[abc] .* \d+% .*\d[MG]/\d", 30)


def test_demo_shows_a_living_fleet_without_libvirtd_and_leaves_nothing(
    demo: Demo, work_folder: Path, home: Path
) -> None:
    hidden = 'mount -t tmpfs none /run/libvirt 2>/dev/null; exec "$@"'  # no daemon can be reached by any path
    apart = ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", f"PATH=/bin:/usr/bin:/sbin; {hidden}", "sh")
    terminal = demo(before=apart if os.geteuid() == 0 else ())
    see_fleet(terminal)
    assert len([name for name in left(work_folder) if "novacron-demo-" in name]) > 2
    terminal.press("5")
    terminal.see("fleet +[0-9]+ VMs use [0-9.]+ cores")
    terminal.press("q")
    assert terminal.wait_end(60) == 0
    assert left(work_folder) == []
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "end",
    [
        "SIGTERM",
        pytest.param("SIGINT", marks=pytest.mark.long),
        pytest.param("closed terminal", marks=pytest.mark.long),
    ],
)
def test_demo_that_is_ended_leaves_nothing(demo: Demo, work_folder: Path, end: str) -> None:
    terminal = demo()
    see_fleet(terminal)
    if end == "closed terminal":
        terminal.hang_up()
    else:
        os.kill(terminal.pid, getattr(signal, end))
    assert terminal.wait_end(60) is not None
    assert left(work_folder) == []


@pytest.mark.long
def test_demo_that_is_ended_while_it_starts_leaves_nothing(demo: Demo, work_folder: Path) -> None:
    terminal = demo()
    terminal.see("connecting to the server")
    wait_until(lambda: any("--simulated-vms" in line for line in left(work_folder)))
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.wait_end(60) is not None
    assert left(work_folder) == []


def test_next_demo_removes_what_a_killed_one_has_left(demo: Demo, work_folder: Path) -> None:
    first = demo()
    see_fleet(first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait_end(10)
    wait_until(lambda: len(left(work_folder)) == 1, 60)  # the directory: the server has ended by itself
    (work_folder / "tmp" / "novacron-demo-of-a-friend").symlink_to("/var/tmp")
    second = demo()
    see_fleet(second)
    second.press("q")
    assert second.wait_end(60) == 0
    assert left(work_folder) == [str(work_folder / "tmp" / "novacron-demo-of-a-friend")]


@pytest.mark.long
def test_server_of_a_demo_that_has_ended_is_started_again(demo: Demo, work_folder: Path) -> None:
    terminal = demo()
    see_fleet(terminal)
    directory = next((work_folder / "tmp").glob("novacron-demo-*"))
    stop_server(directory)
    terminal.see("OFFLINE")
    terminal.see("demo +● LIVE +SIMULATED +3 hosts up", 60)
    terminal.press("q")
    assert terminal.wait_end(60) == 0
    assert left(work_folder) == []


@pytest.mark.long
def test_second_demo_lives_beside_the_first(demo: Demo, work_folder: Path) -> None:
    first, second = demo(), demo()
    see_fleet(first)
    see_fleet(second)
    first.press("q")
    assert first.wait_end(60) == 0
    second.press("r")
    second.see("demo +● LIVE")
    second.press("q")
    assert second.wait_end(60) == 0
    assert left(work_folder) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["demo"], "novacron: the console needs a terminal; run `novacron --help` to list the commands"),
        (["demo", "--vms", "0"], "Invalid value for '--vms': Input should be greater than or equal to 1"),
        (["demo", "--vms", "2001"], "Invalid value for '--vms': Input should be less than or equal to 2000"),
        (["--data-dir", "/x", "demo"], "--data-dir cannot be used with demo, which has a server of its own"),
        (["--server", "http://a:1", "demo"], "--server cannot be used with demo, which has a server of its own"),
    ],
)
def test_demo_without_a_terminal_or_with_a_wrong_number_says_so_in_one_line(
    words: list[str], told: str, environment: dict[str, str], work_folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, NOVACRON, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert told in done.stderr
    assert left(work_folder) == []
