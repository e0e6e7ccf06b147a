"""Settings of every test run, and fixtures for more than one folder: data directories, images and libvirtds.

Server processes of tests get a long database budget, because the machine may be busy.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual import constants

from novacron_server.images.demo_guest import DemoGuest
from novacron_server.images.service import Images
from tests.support.database_budget import LONG_BUDGET_S
from tests.support.images import add_image
from tests.support.libvirtd import PrivateLibvirtd, require_private_libvirtd
from tests.support.node_files import NODE
from tests.support.scratch import scratch

pytest_plugins = ["tests.support.ids", "tests.support.lanes", "tests.support.reruns"]
os.environ["TZ"] = "UTC"  # clocks on screens are in the zone of the machine
time.tzset()
os.environ["NOVACRON_DATABASE_BUDGET_S"] = str(LONG_BUDGET_S)
constants.COLOR_SYSTEM = "truecolor"  # type: ignore[misc]  # pictures and themes do not depend on who runs the tests
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background, and inherited by what tests start
    signal.signal(signal.SIGINT, signal.default_int_handler)
_count = itertools.count(1)


@pytest.fixture(scope="session")
def shared_dir() -> Iterator[Path]:
    """A directory of this test process, removed at the end."""
    with scratch() as path:
        yield path


@pytest.fixture
def data_dir(shared_dir: Path) -> Iterator[Path]:
    """A fresh data directory for one test."""
    path = shared_dir / f"d{next(_count)}"
    path.mkdir(mode=0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def uri(data_dir: Path) -> str:
    """The URI of a simulated host for this test alone."""
    node = data_dir / "node.xml"
    node.write_text(NODE)
    return f"test://{node}"


@pytest.fixture
def image(data_dir: Path) -> str:
    """A real, empty qcow2 image in the server's images directory."""
    add_image(data_dir)
    return "empty"


@pytest.fixture(scope="session")
def prepared_images(shared_dir: Path) -> Path:
    """A server's directory of prepared images, with the demo guest in it."""
    path = shared_dir / "prepared-images"
    asyncio.run(Images(shared_dir / "no-images", demo_guest=DemoGuest(path)).get("alpine"))
    return path


@pytest.fixture
def demo_guest(data_dir: Path, prepared_images: Path) -> None:
    """The demo guest, prepared beforehand: its preparation takes seconds, and is not what most tests are about."""
    shutil.copytree(prepared_images, data_dir / "prepared-images", copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another file system
        shutil.copy2(source, target)


@pytest.fixture
def work_folder() -> Iterator[Path]:
    """A directory with a short path that QEMU may enter; pytest's own is 0700 and too long for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="nvt-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def libvirtd_named(work_folder: Path) -> Iterator[Callable[[str], PrivateLibvirtd]]:
    """Starts private libvirtds, by name."""
    require_private_libvirtd()
    made: list[PrivateLibvirtd] = []

    def make(name: str) -> PrivateLibvirtd:
        (work_folder / name).mkdir()
        daemon = PrivateLibvirtd(work_folder / name, name)
        made.append(daemon)
        daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.stop()
