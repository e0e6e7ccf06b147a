"""Changes acknowledged through the API: VMs defined, not started, on the simulator, by fifty connections at once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator

import httpx

from tests.benchmarks.figure import Figure, percentile
from tests.support.processes import Running, server

CONNECTIONS = 50


def measure() -> Iterator[Figure]:
    seconds = float(os.environ.get("NOVACRON_BENCH_SECONDS", "10"))
    with server("--hypervisor", "test:///default") as ours:
        images = ours.data_dir / "images"
        images.mkdir(exist_ok=True)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(images / "empty.qcow2"), "8M"], check=True)
        took = asyncio.run(_run(ours, seconds))
    name = f"changes acknowledged, {CONNECTIONS} connections"
    yield Figure(name, len(took) / seconds, "per s", 100, absolute=True, at_least=True)
    yield Figure(f"{name}: p99", percentile(took, 99) * 1000, "ms", 2500, absolute=True)


async def _run(ours: Running, seconds: float) -> list[float]:
    """Seconds that each 202 took."""
    took: list[float] = []
    end = time.monotonic() + seconds

    async def one(connection: int) -> None:
        headers = {"Authorization": f"Bearer {ours.token}"}
        async with httpx.AsyncClient(base_url=ours.url, headers=headers, timeout=30) as http:
            number = 0
            while (began := time.monotonic()) < end:
                body = {"name": f"b-{connection}-{number}", "image": "empty", "memory_bytes": 32 << 20, "start": False}
                key = {"Idempotency-Key": str(body["name"])}
                while (answer := await http.post("/api/vm/vms", json=body, headers=key)).status_code == 503:
                    await asyncio.sleep(float(answer.headers["retry-after"]))
                if answer.status_code != 202:
                    raise RuntimeError(answer.text)
                took.append(time.monotonic() - began)
                number += 1

    await asyncio.gather(*(one(connection) for connection in range(CONNECTIONS)))
    return took
