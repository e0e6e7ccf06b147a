"""By key presses on a real guest that writes: it heats its disk, the advice names it, it moves while it runs, and when it
has cooled the server, allowed to, moves it back by itself. The clock of heat runs fast; what is counted, copied and compared is real."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from novacron_core.api import tiering, vms
from novacron_core.api.tiering import PolicyChange, StorageAdvice, TierClassChange
from novacron_core.client import Client
from novacron_core.local_server import read_running_server
from novacron_core.values.sizes import MIB
from tests.support.accounts import PASSWORD
from tests.support.busy_guest import Serial, checksum_of, write_busy_image
from tests.support.console_keys import confirm, make_administrator
from tests.support.fleet_list import read_until
from tests.support.terminal import Terminal

pytestmark = [pytest.mark.qemu, pytest.mark.long, pytest.mark.timeout(600)]
Console = Callable[..., Terminal]
IMAGE = "a-guest-that-works"
SPEED = 100_000
"""A second is a bit more than a day: a reading of disks covers half a month."""
POLICY = PolicyChange(
    floor=10.0,  # operations per second and GiB: the guest writes a few times a second, on 50 MiB
    payback=0.0,
    tiers={"hot": TierClassChange(expected_ms=0.000_1), "warm": TierClassChange(expected_ms=1000.0)},
)
"""The hot tier is said to be fast: before anything is in it, nothing can be measured."""


@pytest.fixture
def pools(data_dir: Path) -> Iterator[Path]:
    """The directories of the pools, of which that of the hot tier is on another file system."""
    elsewhere = Path(tempfile.mkdtemp(prefix="nv-hot-", dir="/dev/shm"))
    elsewhere.chmod(0o711)
    found = data_dir / "pools"
    found.mkdir(mode=0o711)
    (found / "hot").symlink_to(elsewhere)
    if elsewhere.stat().st_dev == found.stat().st_dev:
        pytest.fail("/dev/shm is on the disk of this test's folder")
    yield found
    shutil.rmtree(elsewhere, ignore_errors=True)


def files(pools: Path) -> set[tuple[str, str]]:
    """The (tier, name) pairs of all files of the disk, also of temporary ones."""
    return {(tier, path.name) for tier in ("hot", "warm", "cold") for path in (pools / tier).glob("heat-01*.qcow2*")}


def ask(data_dir: Path, call: Callable[[Client], object]) -> object:
    """Call the server as the administrator."""

    async def work() -> object:
        running = read_running_server(data_dir)
        assert running is not None
        async with Client(running.url) as client:
            await client.sign_in("ann", PASSWORD)
            return await call(client)  # type: ignore[misc]

    return asyncio.run(work())


def advice(data_dir: Path) -> StorageAdvice:
    found = ask(data_dir, lambda client: client.call(tiering.ADVICE))
    assert isinstance(found, StorageAdvice)
    return found


def test_disk_follows_its_heat_and_goes_back_when_it_has_cooled(
    console: Console, qemu: libvirt.virConnect, data_dir: Path, pools: Path
) -> None:
    write_busy_image(data_dir / "images", IMAGE, cpu=False)
    environment = {"NOVACRON_HEAT_SPEED": str(SPEED)}
    terminal = console("--hypervisor", "qemu:///system", columns=140, rows=40, environment=environment)
    make_administrator(terminal)
    ask(data_dir, lambda client: client.call(tiering.SET_POLICY, body=POLICY))
    body = vms.VMCreate(name="heat-01", image=IMAGE, memory_bytes=128 * MIB, tier="warm")
    ask(data_dir, lambda client: client.call(vms.CREATE, body=body))
    terminal.see("heat-01 .*● running", 90)
    serial = Serial("qemu:///system", "heat-01")
    serial.see("WRITES", 240)
    ((_, name),) = files(pools)

    terminal.press("4")
    terminal.see("tab: 1 move advised", 180)
    terminal.press("tab")
    terminal.see(rf"{re.escape(name)} +warm › hot +hot here", 60)
    terminal.see(r"\S+ operations/s over a day and a week: \S+ per GiB, and hot takes from", 30)
    terminal.press("m")
    confirm(terminal, "The VM keeps running")
    terminal.see("nothing should move now", 180)
    read_until(terminal, lambda: files(pools) == {("hot", name)})
    terminal.press("tab", "tab", "tab")
    terminal.see(rf"{re.escape(name)} +hot ", 60)

    serial.wait_for_writes()
    guest_checksum = serial.checksum()  # from now on it writes nothing
    assert checksum_of(pools / "hot" / name) == guest_checksum
    terminal.press("tab")
    terminal.see(rf"{re.escape(name)} +hot › (warm|cold) +idle here", 240)
    terminal.see("no operation for", 30)
    terminal.press("M")  # from here on nobody asks for a move
    terminal.see("The server makes advised moves by itself", 30)
    time.sleep(0.5)  # a form takes no keys that were typed before anybody can have read it
    terminal.press("ctrl+s")
    terminal.see("automatic moves are on", 60)
    terminal.see("nothing should move now", 180)
    read_until(terminal, lambda: len(files(pools)) == 1 and files(pools) != {("hot", name)})
    terminal.press("tab", "tab")
    terminal.see(rf"{re.escape(name)} +hot › (warm|cold) +moved", 60)
    ((tier, _),) = files(pools)
    assert checksum_of(pools / tier / name) == guest_checksum
    assert "WRITE-ERROR" not in serial.text
    serial.close()
    domain = qemu.lookupByName("heat-01")
    for xml in (domain.XMLDesc(0), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
        assert f"pools/{tier}/{name}" in xml and "pools/hot" not in xml
    assert advice(data_dir).recommendations == []
    terminal.press("q")
    assert terminal.wait_end(10) == 0
