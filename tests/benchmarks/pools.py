"""What a pool with 16,000 files costs everybody else: how long events of VMs wait while its volumes are read.

libvirt lists no more than 16,384 volumes of a pool. The host is libvirt's test driver with one such pool; reading it and
composing its volumes is the real code of the server.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from novacron_server.runtime.memory import keep_what_has_started
from tests.benchmarks.figure import Figure
from tests.support.server import LiveServer, open_server

FILES, READS = 16_000, 5
VOLUME = (
    "<volume><name>file-{0}</name><capacity>1048576</capacity><target><path>/pool/file-{0}</path></target></volume>"
)
NODE = """<node><domain type='test'><name>web-01</name><memory>1024</memory><os><type>hvm</type></os></domain>
<pool type='dir'><name>big</name><target><path>/pool</path></target>{}</pool></node>"""


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="novacron-bench-") as folder:
        Path(folder).chmod(0o711)
        node = Path(folder, "node.xml")
        node.write_text(NODE.format("".join(VOLUME.format(number) for number in range(FILES))))
        waited, took = asyncio.run(_read(Path(folder), f"test://{node}"))
    yield Figure(
        f"longest wait of an event beside a pool of {FILES:,} files", waited * 1000, "ms", 100.0, absolute=True
    )
    yield Figure("one read of its volumes, off the loop", took * 1000, "ms", 10_000.0, absolute=True)


async def _read(folder: Path, uri: str) -> tuple[float, float]:
    async with open_server(folder / "data", [uri]) as server:
        host_id = next(iter(server.parts.inventory.state.views))
        keep_what_has_started()  # as the server does when it begins to listen
        await server.parts.inventory.refresh_volumes(host_id)
        assert sum(1 for _ in server.parts.inventory.state.storage.volumes()) >= FILES
        return await _beside_reads(server, host_id)


async def _beside_reads(server: LiveServer, host_id: str) -> tuple[float, float]:
    """(the longest that the event loop stood still, seconds a read took)."""

    async def read() -> float:
        began = time.perf_counter()
        for _ in range(READS):
            await server.parts.inventory.refresh_volumes(host_id)
        return (time.perf_counter() - began) / READS

    reading, longest = asyncio.ensure_future(read()), 0.0
    while not reading.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - before - 0.001)
    return longest, await reading
