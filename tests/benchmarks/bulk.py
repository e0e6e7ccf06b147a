"""A bulk on 2,000 VMs of the simulator: how soon it is accepted, how fast it goes, and what it costs other changes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.api import node_xml
from tests.benchmarks.figure import Figure, median
from tests.support.processes import Running, server

VMS = int(os.environ.get("NOVACRON_BENCH_VMS", "2000"))
SINGLES = 20


def measure() -> Iterator[Figure]:
    node = Path("/var/tmp") / f"novacron-bench-bulk-{os.getpid()}.xml"
    try:
        node.write_text(node_xml(VMS + 1))
        with server("--hypervisor", f"test://{node}") as ours:
            accepted_s, rate, alone, beside = asyncio.run(_run(ours))
    finally:
        node.unlink(missing_ok=True)
    acknowledged, ended = median([s[0] for s in alone]), median([s[1] for s in alone])
    name = f"bulk of {VMS:,} VMs"
    yield Figure(f"{name}: 202", accepted_s * 1000, "ms", 300, acknowledged * 1000, "one VM's 202", absolute=True)
    yield Figure(f"{name}: VMs changed", rate, "per s", 1, 1 / ended, "one after another", at_least=True)
    slowed = median([s[1] for s in beside]) * 1000
    yield Figure(f"another change during a {name}, until its end", slowed, "ms", 5, ended * 1000, "without a bulk")


async def _run(ours: Running) -> tuple[float, float, list[tuple[float, float]], list[tuple[float, float]]]:
    """Returns (seconds until the 202, VMs per second, single changes before it, and during it)."""
    headers = {"Authorization": f"Bearer {ours.token}"}
    async with httpx.AsyncClient(base_url=ours.url, headers=headers, timeout=60) as http:
        ids = await _ids(http)
        one, others = ids[0], ids[1:]
        alone = [await _single(http, one, number) for number in range(SINGLES)]
        began = time.monotonic()
        answer = await http.post("/api/vm/vms/bulk", json={"action": "reset", "ids": others})
        accepted_s = time.monotonic() - began
        answer.raise_for_status()
        beside: list[tuple[float, float]] = []
        while (bulk := await _get(http, answer.json()["id"]))["state"] == "running":
            beside.append(await _single(http, one, len(beside)))
        took_s = time.monotonic() - began
        done = bulk["counts"]["succeeded"]
        return accepted_s, done / took_s, alone, beside


async def _ids(http: httpx.AsyncClient) -> list[str]:
    """The ids of all running VMs, once all were read; the first is the one for single changes."""
    while True:
        first = (await http.get("/api/vm/vms", params={"page_size": 1000})).json()
        if first["total"] > VMS:
            break
        await asyncio.sleep(0.1)
    pages = range(1, VMS // 1000 + 2)
    got = [await http.get("/api/vm/vms", params={"page": page, "page_size": 1000}) for page in pages]
    found = [vm for page in got for vm in page.json()["items"]]
    return [vm["id"] for vm in sorted(found, key=lambda vm: vm["state"] != "running")]


async def _single(http: httpx.AsyncClient, vm_id: str, number: int) -> tuple[float, float]:
    """Pause or resume one VM. Returns the seconds until the 202 and until its end."""
    began = time.monotonic()
    answer = await http.post(f"/api/vm/vms/{vm_id}/{('pause', 'resume')[number % 2]}")
    accepted_s = time.monotonic() - began
    answer.raise_for_status()
    while (await _get(http, answer.json()["id"]))["state"] == "running":
        await asyncio.sleep(0.002)
    return accepted_s, time.monotonic() - began


async def _get(http: httpx.AsyncClient, operation_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/api/operations/{operation_id}")).json()
    return found
