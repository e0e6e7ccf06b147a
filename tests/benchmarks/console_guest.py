"""Serial consoles of real guests (TCG) on a private libvirtd: `novacron` in a terminal, beside `virsh console` in another.

Both terminals are read by the same code. Two guests of one image, one for each: so keys and floods take turns, and what the
machine does meanwhile meets both. NOVACRON_BENCH_FLOOD_MB shortens the flood, which prints 20 MB into each.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from novacron_core.api import pools, vms
from novacron_core.api.vms import State
from novacron_core.client import Client
from novacron_core.client.credentials import Credentials
from tests.benchmarks.console_followers import Followers
from tests.benchmarks.figure import Figure, percentile
from tests.support.consoles import SHELL
from tests.support.libvirtd import PrivateLibvirtd
from tests.support.processes import Running, running, serve_process
from tests.support.terminal import NotSeen, Terminal
from tests.support.waiting import until
from tests.support.writing_guest import add_image

OURS, RAW = "ours", "raw"
KEYS, ROUND = 200, 10
"""How many keys are pressed in each terminal, and how many before it is the other's turn."""
FLOODS = 10
FOLLOWERS = 200
KIB, MIB = 1 << 10, 1 << 20
CLEARS_LINE = "\x15"
SLOWEST_BYTES_S = 15_000
"""A guest that prints more slowly than this does not print any more."""
_LETTERS = "abcdefghijklmnoprstuvwxyz"
_LINE = "[ 4211.503921] nf_conntrack: table full, dropping packet from 10.0.2.15 to .7"
_NUMBERS = itertools.count(1)
_LEFT = b"types into the guest"
_GUEST = f"""
cat > /usr/bin/flood <<'END'
#!/usr/bin/busybox sh
read up rest < /proc/uptime; before=${{up%.*}}${{up#*.}}
yes '{_LINE}' | head -c $1
read up rest < /proc/uptime; after=${{up%.*}}${{up#*.}}
echo; echo FLOOD-$2-$((after - before))-END
END
chmod 755 /usr/bin/flood
{SHELL}"""
"""`flood BYTES NUMBER` prints so many, and then its number and in how many hundredths of a second, by the guest's clock.
A console paints earlier lines again, so each flood has a number of its own."""


@dataclass
class _Pair:
    """`ours` is the console of NovaCron at one guest, `raw` virsh's at another."""

    server: Running
    ours: Terminal
    raw: Terminal
    ours_id: str


def measure() -> Iterator[Figure]:
    if os.geteuid() != 0 or not shutil.which("virsh"):
        print(
            "left out: consoles of real guests; a private libvirtd needs root, and the baseline virsh", file=sys.stderr
        )
        return
    flood_bytes = int(float(os.environ.get("NOVACRON_BENCH_FLOOD_MB", "20")) * 1e6)
    with _pair() as pair:
        yield from _keys(pair)
        yield from _floods(pair, flood_bytes // FLOODS)
        yield from _followers(pair)


# -- keys ----------------------------------------------------------------------------------------------------------------


def _keys(pair: _Pair) -> Iterator[Figure]:
    took: dict[str, list[float]] = {OURS: [], RAW: []}
    chance = random.Random(7)
    for _ in range(KEYS // ROUND):
        for name, terminal in ((OURS, pair.ours), (RAW, pair.raw)):
            took[name] += _press_keys(terminal, chance)
    ours, raw = took[OURS], took[RAW]
    title = f"guest: key to echo on the screen, {len(ours)} keys, above virsh console"
    for name, percent, limit in (("p95", 95, 30.0), ("median", 50, 30.0)):
        above, floor = percentile(ours, percent) - percentile(raw, percent), percentile(raw, percent)
        yield Figure(f"{title} ({floor * 1000:.1f} ms), {name}", above * 1000, "ms above", limit, absolute=True)


def _press_keys(terminal: Terminal, chance: random.Random) -> list[float]:
    """Press a few keys at the shell's prompt. Returns the seconds from each to its letter on the screen."""
    terminal.send(CLEARS_LINE)
    terminal.settle(0.3, 5.0)
    row, column = _end_of_prompt(terminal)
    took = []
    for place in range(ROUND):
        letter = chance.choice(_LETTERS)
        at = terminal.send(letter)
        while terminal.screen.buffer[row][column + place].data != letter:
            if time.monotonic() > at + 10:
                raise NotSeen(f"{letter!r} was not echoed\n{terminal.text()}")
            terminal.read(0.5)
        took.append(time.monotonic() - at)
        terminal.settle(chance.uniform(0.05, 0.15), 1.0)  # nothing of it is on the way when the next one is pressed
    return took


def _end_of_prompt(terminal: Terminal) -> tuple[int, int]:
    """The place on the screen where the next letter is echoed."""
    prompts = [(y, line) for y, line in enumerate(terminal.screen.display) if re.search(r"tiny# *($|│)", line)]
    if not prompts:
        raise NotSeen(f"no prompt on\n{terminal.text()}")
    y, line = prompts[-1]
    return y, line.rindex("tiny# ") + len("tiny# ")


# -- floods --------------------------------------------------------------------------------------------------------------


def _floods(pair: _Pair, size_bytes: int) -> Iterator[Figure]:
    took: dict[str, list[float]] = {OURS: [], RAW: []}
    app, server = _Meter(pair.ours.pid), _Meter(pair.server.pid)
    keys: list[float] = []
    for turn in range(FLOODS):
        for name in (OURS, RAW) if turn % 2 else (RAW, OURS):
            if name == RAW:
                took[RAW].append(_flood(pair.raw, size_bytes))
            else:
                with app.measured(), server.measured():
                    took[OURS].append(_flood(pair.ours, size_bytes, keys))
    title = f"guest: flood of {FLOODS * size_bytes / 1e6:g} MB"
    ours, raw = sum(took[OURS]), sum(took[RAW])
    yield Figure(f"{title}, printed in", ours, "s", 1.10, raw, "virsh console")
    yield Figure(f"{title}: the console's CPU", app.cores, "cores", 1.0, absolute=True)
    yield Figure(f"{title}: the console's memory", app.peak_bytes / MIB, "MiB", 100, absolute=True)
    yield Figure(f"{title}: the server's CPU", server.cores, "cores", 1.0, absolute=True)
    if keys:
        yield Figure(f"{title}: the detach key answered, p95", percentile(keys, 95) * 1000, "ms", 100, absolute=True)


def _flood(terminal: Terminal, size_bytes: int, keys: list[float] | None = None) -> float:
    """Let the guest print. Returns its seconds. With `keys`, press the detach key now and then, and note how long until
    the console says that it has left the guest."""
    terminal.send(CLEARS_LINE)
    terminal.settle(0.3, 5.0)
    number = next(_NUMBERS)
    took = re.compile(rb"FLOOD-%d-(\d+)-END" % number)
    terminal.type(f"flood {size_bytes} {number}")
    terminal.press("enter")
    tail, answer, pressed, press_at = b"", b"", 0.0, time.monotonic() + 2.0
    ends = time.monotonic() + 60 + size_bytes / SLOWEST_BYTES_S
    found = None
    while found is None:
        if time.monotonic() > ends:
            raise NotSeen(f"the flood does not end\n{terminal.text()}")
        got = terminal.receive(0.05)
        tail, answer = tail[-256:] + got, answer[-256:] + got
        found = took.search(tail)
        if keys is None:
            continue
        if pressed and _LEFT in answer:
            keys.append(time.monotonic() - pressed)
            pressed, press_at = 0.0, time.monotonic() + 1.0
            terminal.send(".")
        elif not pressed and time.monotonic() > press_at and found is None:
            answer, pressed = b"", terminal.send("\x1d")
    if pressed:
        terminal.see(_LEFT.decode(), 10)
        terminal.send(".")
    terminal.settle(1.0, 10.0)
    return int(found[1]) / 100


class _Meter:
    """The CPU time and the memory of a process while it is measured."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._cpu_s = self._wall_s = 0.0
        self.peak_bytes = 0

    @contextmanager
    def measured(self) -> Iterator[None]:
        before, began = sum(self._process.cpu_times()[:2]), time.monotonic()
        yield
        self._cpu_s += sum(self._process.cpu_times()[:2]) - before
        self._wall_s += time.monotonic() - began
        self.peak_bytes = max(self.peak_bytes, self._process.memory_info().rss)

    @property
    def cores(self) -> float:
        return self._cpu_s / max(self._wall_s, 1e-9)


# -- followers -----------------------------------------------------------------------------------------------------------


def _followers(pair: _Pair) -> Iterator[Figure]:
    """The ring is full by now, and one follower is there."""
    process = psutil.Process(pair.server.pid)
    before = process.memory_info().rss
    followers = Followers(pair.server, pair.ours_id)
    asyncio.run(followers.follow(FOLLOWERS, lambda: _print(pair.ours), process))
    title = f"guest: {FOLLOWERS} followers of a printing guest"
    grown = (followers.peak_bytes - before) / FOLLOWERS
    yield Figure(f"{title}: the server's memory, each", grown / KIB, "KiB", 100, absolute=True)
    yield Figure(f"{title}: those that saw the end of it", followers.complete, "followers", FOLLOWERS, absolute=True,
                 at_least=True)  # fmt: skip


def _print(terminal: Terminal) -> None:
    """Blocks; called in a thread."""
    _flood(terminal, 1_000_000)


# -- the two consoles ----------------------------------------------------------------------------------------------------


@contextmanager
def _pair() -> Iterator[_Pair]:
    folder = Path(tempfile.mkdtemp(prefix="nvb-", dir="/var/tmp"))
    folder.chmod(0o711)
    data = folder / "data"
    (folder / "lv").mkdir()
    (data / "images").mkdir(mode=0o711, parents=True)
    data.chmod(0o711)
    add_image(data / "images", "shell", _GUEST)
    daemon = PrivateLibvirtd(folder / "lv", "bench")
    daemon.start()
    try:
        with serve_process(data, "--hypervisor", daemon.uri, "--sockets-per-session", "1000") as url:
            server = running(url, data)
            ids = asyncio.run(_two_guests(server))
            novacron = str(Path(sys.executable).with_name("novacron"))
            virsh = ["virsh", "-q", "-c", daemon.uri, "console", RAW, "--force"]
            app = Terminal([novacron, "--server", url], environment={"NOVACRON_TOKEN": server.token})
            with app as ours, Terminal(virsh) as raw:
                ours.see(rf"{OURS} .*● running", 60)
                ours.press(".")
                ours.see("TYPING", 60)
                for terminal in (ours, raw):
                    _wait_for_shell(terminal)
                yield _Pair(server, ours, raw, ids[OURS])
    finally:
        daemon.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _two_guests(server: Running) -> dict[str, str]:
    """Create and start them. Returns their ids by name."""
    async with Client(server.url, Credentials(server.token)) as client:

        async def has_pools() -> bool | None:
            return True if len([p for p in (await client.call(pools.LIST)).items if p.tier]) == 3 else None

        await until(has_pools, 60)
        for name in (OURS, RAW):
            await client.call(vms.CREATE, body=vms.VMCreate(name=name, image="shell", memory_bytes=160 * MIB))

        async def run() -> dict[str, str] | None:
            found = {vm.name: vm.id for vm in (await client.call(vms.LIST)).items if vm.state is State.RUNNING}
            return found if len(found) == 2 else None

        return await until(run, 120)


def _wait_for_shell(terminal: Terminal) -> None:
    ends = time.monotonic() + 240
    while not re.search(r"tiny# +tiny|tiny# *\n", terminal.text()):
        if time.monotonic() > ends:
            raise NotSeen(terminal.text())
        terminal.press("enter")
        terminal.read(1.0)
    terminal.type("clear")
    terminal.press("enter")
    terminal.settle(1.0, 10.0)
