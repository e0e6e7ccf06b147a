"""What collecting and keeping metrics costs, beside bare libvirt calls and a bare binary COPY; and what a day of a thousand
VMs costs to ask. NOVACRON_BENCH_VMS makes the fleet smaller: 17 million rows take some minutes to write.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import libvirt
import psutil
import psycopg

from novacron_server.database.embedded.postgres import EmbeddedPostgres
from novacron_server.database.migrate import migrate
from novacron_server.database.tables import METRICS
from novacron_server.database.transactions import Database
from novacron_server.hosts import repository as hosts_repository
from novacron_server.hypervisor import LibvirtHost
from novacron_server.hypervisor.statistics import reader
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.state import InventoryState
from novacron_server.metrics import copy_rows
from novacron_server.metrics.copy_rows import FLEET, vm_subject
from novacron_server.metrics.history_writer import HistoryWriter
from novacron_server.metrics.latest import LatestSamples
from novacron_server.metrics.write_queue import Chunk
from novacron_server.outbox.group_commit import GroupCommit
from tests.benchmarks.figure import Figure, median, percentile
from tests.support.accounts import administrator
from tests.support.node_files import write_node
from tests.support.processes import Running, serve_process

URI = "qemu:///system"
GUESTS = 30
ROUNDS = 40
STEP_S = 5
HOURS = 24
ASKED = 60
SCRAPES = 20


def measure() -> Iterator[Figure]:
    yield from asyncio.run(_collecting())


def measure_history() -> Iterator[Figure]:
    """Some minutes: a day of the whole fleet is written first."""
    vms = int(os.environ.get("NOVACRON_BENCH_VMS", "1000"))
    with tempfile.TemporaryDirectory(prefix="novacron-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        uri = write_node(folder / "node.xml", vms)
        yield from asyncio.run(_ingesting(folder / "d", uri))
        with serve_process(folder / "d", "--hypervisor", uri) as url:
            ours = Running(url, asyncio.run(administrator(url, folder / "d", "bench")), folder / "d", 0)
            yield from _asking(ours, vms)
            yield from _scraping(ours, vms)


# -- collecting ------------------------------------------------------------------------------------------------------


async def _collecting() -> list[Figure]:
    """CPU of this process and of libvirtd, for the same calls bare and through the collector's whole path."""
    host = LibvirtHost("h", URI, on_hint=lambda hint: None, on_status=lambda host: None)
    await host.open()
    bare = libvirt.open(URI)
    daemon = psutil.Process(int(Path("/run/libvirtd.pid").read_text()))
    board = LatestSamples()
    floors: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    with _guests(bare):
        facts = {facts.uuid: facts for facts in await host.read_domains()}
        for _ in range(5):
            began = _spent(daemon)
            for _ in range(ROUNDS):
                _bare_round(bare)
            floors.append(_since(began, daemon))
            began = _spent(daemon)
            for _ in range(ROUNDS):
                await board.record("h", await host.read_counters("quick"), facts, 64, 5.0)
            ours.append(_since(began, daemon))
    await host.close()
    name = f"collecting {GUESTS} VMs"
    per_round = [
        [median([pair[which] for pair in found]) * 1000 / ROUNDS for which in (0, 1)] for found in (ours, floors)
    ]
    return [
        Figure(f"{name}, CPU with libvirtd", sum(per_round[0]), "ms", 1.3, sum(per_round[1]), "the bare calls"),
        Figure(f"{name}, CPU of our process alone", per_round[0][0], "ms", 5.0, absolute=True),
    ]


def _bare_round(connection: libvirt.virConnect) -> None:
    for domain, _ in connection.getAllDomainStats(reader._QUICK, reader._FLAGS):
        domain.UUIDString()
        domain.ID()
    connection.getCPUStats(libvirt.VIR_NODE_CPU_STATS_ALL_CPUS)
    connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)


def _spent(daemon: psutil.Process) -> tuple[float, float]:
    return time.process_time(), sum(daemon.cpu_times()[:2])


def _since(began: tuple[float, float], daemon: psutil.Process) -> tuple[float, float]:
    now = _spent(daemon)
    return now[0] - began[0], now[1] - began[1]


@contextmanager
def _guests(connection: libvirt.virConnect) -> Iterator[None]:
    """Guests that do nothing: what is measured is asking them."""
    made = []
    try:
        for _ in range(GUESTS):
            xml = (
                f"<domain type='qemu'><name>bench-{uuid.uuid4().hex[:8]}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
                "<os><type arch='x86_64'>hvm</type></os><devices><memballoon model='virtio'/></devices></domain>"
            )
            made.append(connection.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED))
        yield
    finally:
        for domain in made:
            domain.destroy()


# -- ingesting -------------------------------------------------------------------------------------------------------


async def _ingesting(data_dir: Path, uri: str) -> list[Figure]:
    """A day of the fleet into a fresh database, and a part of it by a bare binary COPY of the same rows."""
    async with EmbeddedPostgres(data_dir) as postgres:
        await migrate(postgres.owner_url, postgres.app_url)
        database = Database(postgres.app_url)
        host = await database.run(lambda connection: hosts_repository.get_or_create(connection, uri))
        subjects = [vm_subject(host.id, vm_id) for vm_id in _running(uri)]
        inventory = Inventory(InventoryState(), Publisher(GroupCommit(database, lambda: None)), [])
        kept = timedelta(hours=48)
        history = HistoryWriter(
            database, inventory, LatestSamples(), samples_kept=kept, minutes_kept=timedelta(days=14)
        )
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        floor = await _bare_copy(postgres.owner_url, subjects, now)
        steps = HOURS * 3600 // STEP_S
        per_batch = max(1, 40_000 // len(subjects))
        began = time.perf_counter()
        rows = 0
        for first in range(0, steps, per_batch):
            batch = range(first, min(steps, first + per_batch))
            # As in the server: a thread packs while what was packed before is on its way.
            packing_now = asyncio.to_thread(_chunks, [*subjects, FLEET], now, steps, batch)
            chunks, _ = await asyncio.gather(packing_now, history.write())
            for chunk in chunks:
                history.waiting.add(chunk)
                rows += chunk.rows
        await history.write()
        rate = rows / (time.perf_counter() - began)
        await history.roll_up(now + timedelta(seconds=15))
        await database.close()
    name = f"samples packed and written, {rows / 1e6:.1f} M rows"
    return [Figure(name, rate, "rows/s", 0.6, floor, "a bare binary COPY", at_least=True)]


def _chunks(subjects: Sequence[bytes], now: datetime, steps: int, batch: range) -> list[Chunk]:
    chunks = []
    for step in batch:
        at = now - timedelta(seconds=(steps - step) * STEP_S)
        numbers, time_us = _numbers(step), copy_rows.microseconds(at)
        packed = [copy_rows.row(time_us, subject, numbers) for subject in subjects]
        chunks.append(Chunk(at, len(packed), b"".join(packed)))
    return chunks


def _running(uri: str) -> list[str]:
    connection = libvirt.open(uri)
    try:
        return [domain.UUIDString() for domain in connection.listAllDomains()]
    finally:
        connection.close()


def _numbers(step: int) -> tuple[float, ...]:
    return tuple(float(step % 97 + number) for number in range(len(METRICS)))


async def _bare_copy(url: str, subjects: Sequence[bytes], now: datetime) -> float:
    """Rows per second of psycopg's own binary COPY into an ordinary table of the same shape, two million of them."""
    columns = ", ".join(f"{name} real" for name in METRICS)
    rows = 0
    ids = [uuid.UUID(bytes=subject) for subject in subjects]
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(f"CREATE TABLE bare (time timestamptz, subject uuid, {columns})")
        await connection.execute("CREATE INDEX ON bare (subject, time)")
        began = time.perf_counter()
        async with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as sink:
            sink.set_types(["timestamptz", "uuid", *["float4"] * len(METRICS)])
            for step in range(max(1, 2_000_000 // len(subjects))):
                numbers, at = _numbers(step), now + timedelta(seconds=step * STEP_S)
                for subject in ids:
                    await sink.write_row((at, subject, *numbers))
                    rows += 1
        await connection.commit()
        return rows / (time.perf_counter() - began)


# -- asking ----------------------------------------------------------------------------------------------------------


def _asking(ours: Running, vms: int) -> Iterator[Figure]:
    headers = {"Authorization": f"Bearer {ours.token}"}
    with httpx.Client(base_url=ours.url, headers=headers, timeout=30) as http:
        while (answer := http.get("/api/vm/vms", params={"page_size": 100}).json())["total"] < vms:
            time.sleep(0.2)
        ids = [vm["id"] for vm in answer["items"]]
        floor = _times(http, ["/livez"] * ASKED, {})
        now = datetime.now(UTC)
        for name, hours, points, limit in (("the last hour", 1, 120, 10.0), ("24 h in 200 points", 24, 200, 30.0)):
            asked: dict[str, str | int] = {"from": (now - timedelta(hours=hours)).isoformat(), "points": points}
            took = _times(http, [f"/api/vm/vms/{ids[n % len(ids)]}/metrics" for n in range(ASKED)], asked)
            title = f"{name} of one VM of {vms:,}"
            yield Figure(f"{title}, median", median(took), "ms", limit, median(floor), "an empty answer", absolute=True)
            yield Figure(f"{title}, p95", percentile(took, 95), "ms", limit * 2, absolute=True)


def _scraping(ours: Running, vms: int) -> Iterator[Figure]:
    """Scrapes of the whole fleet, and the slowest other call meanwhile."""
    token = (ours.data_dir / "metrics-token").read_text()
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
    slowest, done = [0.0], threading.Event()

    def ask_meanwhile() -> None:
        with httpx.Client(base_url=ours.url, timeout=30) as other:
            _times(other, ["/livez"] * 3, {})
            while not done.is_set():
                slowest[0] = max(slowest[0], *_times(other, ["/livez"], {}))

    with httpx.Client(base_url=ours.url, headers=headers, timeout=30) as http:
        asking = threading.Thread(target=ask_meanwhile)
        asking.start()
        took = _times(http, ["/metrics"] * SCRAPES, {})
        done.set()
        asking.join()
    title = f"a scrape of {vms:,} VMs"
    yield Figure(f"{title}, median", median(took), "ms", 300.0, absolute=True)
    yield Figure(f"the slowest other call during {SCRAPES} scrapes", slowest[0], "ms", 100.0, absolute=True)


def _times(http: httpx.Client, paths: list[str], query: dict[str, str | int]) -> list[float]:
    took = []
    for path in paths:
        began = time.perf_counter()
        answer = http.get(path, params=query)
        took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(answer.text)
    return took
