"""What many sign-ins cost everybody else, and whether the time of a refusal tells that there is such a user.

The storm comes from a process of its own, at a fixed rate whatever the server answers, over connections that stay open;
every second sign-in is right.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from novacron_core.api.access import Login
from novacron_core.errors import Unauthenticated
from tests.benchmarks.figure import Figure, median, percentile
from tests.support.accounts import PASSWORD
from tests.support.processes import server
from tests.support.server import LiveServer, open_server

RATE, SECONDS = 200, 8.0
CONNECTIONS = 100
OTHERS_EVERY_S = 0.02
GUESSES = 200
STRANGER = "203.0.113.9"


def measure() -> Iterator[Figure]:
    with server("--hypervisor", "test:///default") as ours:
        quiet = asyncio.run(_others(ours.url, ours.token))
        command = [sys.executable, "-m", "tests.benchmarks.sign_ins", ours.url]
        storm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(1.0)
        beside = asyncio.run(_others(ours.url, ours.token))
        told, _ = storm.communicate(timeout=60)
    counts = json.loads(told)
    yield Figure(f"sign-ins sent in a second, of which {counts}", RATE * 1.0, "/s", RATE, absolute=True, at_least=True)
    yield Figure(
        "other requests beside a sign-in storm, p99",
        percentile(beside, 99) * 1000,
        "ms",
        100,
        percentile(quiet, 99) * 1000,
        "without it",
        absolute=True,
    )
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="novacron-bench-") as folder:
        Path(folder).chmod(0o711)
        known, unknown = asyncio.run(_refusals(Path(folder)))
    yield Figure(
        f"refused sign-in, known and unknown user, medians of {GUESSES} apart by",
        abs(median(known) - median(unknown)) * 1000,
        "ms",
        5,
        median(known) * 1000,
        "of a known user",
        absolute=True,
    )


async def _others(url: str, token: str) -> list[float]:
    """Seconds that the requests of somebody who works took: one every OTHERS_EVERY_S."""
    place, took = urlsplit(url), list[float]()
    request = f"GET /api/vm/vms HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    end = time.monotonic() + SECONDS - 2.0
    while time.monotonic() < end:
        began = time.perf_counter()
        writer.write(request)
        await _answer(reader)
        took.append(time.perf_counter() - began)
        await asyncio.sleep(OTHERS_EVERY_S)
    writer.close()
    return took


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
    return int(head.split(b" ", 2)[1])


async def _storm(url: str) -> dict[int, int]:
    """How often each status was answered."""
    place, counts = urlsplit(url), dict[int, int]()
    begins = time.monotonic()

    async def attack(number: int) -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for turn in range(number, int(RATE * SECONDS), CONNECTIONS):
            await asyncio.sleep(max(0.0, begins + turn / RATE - time.monotonic()))
            right = turn % 2 == 0
            name = "bench" if right else f"guess-{turn}"
            body = json.dumps({"username": name, "password": PASSWORD if right else "wrong"}).encode()
            head = f"POST /auth/login HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            status = await _answer(reader)
            counts[status] = counts.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*map(attack, range(CONNECTIONS)))
    return counts


async def _refusals(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds that the refusals of wrong passwords took, for a user who is there and for ones who are not, by turns."""
    async with open_server(folder / "data", ["test:///default"]) as server:
        known, unknown = list[float](), list[float]()
        for number in range(GUESSES):
            known.append(await _refused(server, "ann"))
            unknown.append(await _refused(server, f"nobody-{number}"))
        return known, unknown


async def _refused(server: LiveServer, name: str) -> float:
    await server.parts.database.run(lambda conn: conn.exec_driver_sql("DELETE FROM login_failures"))
    began = time.perf_counter()
    try:
        await server.parts.access.login(Login(username=name, password="wrong"), STRANGER, "bench")
    except Unauthenticated:
        return time.perf_counter() - began
    raise RuntimeError("a wrong password was accepted")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_storm(sys.argv[1]))))
