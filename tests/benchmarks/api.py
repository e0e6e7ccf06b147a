"""`GET /api/vm/vms` with 50 VMs against a bare Starlette and msgspec route that does the same JWT check, headers, log line."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.benchmarks.figure import Figure, median
from tests.support.processes import server

CONNECTIONS = 8
SECONDS = 3.0
ROUNDS = 3
VMS = 50


def measure() -> Iterator[Figure]:
    node = Path("/var/tmp") / f"novacron-bench-{VMS}.xml"
    node.write_text(node_xml(VMS))
    with server("--hypervisor", f"test://{node}") as ours:
        body = _wait_for_vms(ours.url, ours.token)
        floor = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.floor_api"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert floor.stdin and floor.stdout
        floor.stdin.write(body)
        floor.stdin.close()
        floor_url, floor_token = floor.stdout.readline().decode().split()
        try:
            rates = [
                (asyncio.run(_load(ours.url, ours.token)), asyncio.run(_load(floor_url, floor_token)))
                for _ in range(ROUNDS)
            ]
        finally:
            floor.terminate()
            floor.wait(10)
    node.unlink()
    ours_rate, floor_rate = median([rate[0] for rate in rates]), median([rate[1] for rate in rates])
    yield Figure(
        f"GET /api/vm/vms, {VMS} VMs", ours_rate, "req/s", 0.5, floor_rate, "Starlette + msgspec", at_least=True
    )


def node_xml(count: int) -> str:
    """A node of libvirt's test driver with so many VMs."""
    node = ET.Element("node")
    for number in range(count):
        domain = ET.SubElement(node, "domain", type="test")
        ET.SubElement(domain, "name").text = f"vm-{number:05d}"
        ET.SubElement(domain, "memory").text = "1048576"
        ET.SubElement(domain, "vcpu").text = "2"
        ET.SubElement(ET.SubElement(domain, "os"), "type").text = "hvm"
        devices = ET.SubElement(domain, "devices")
        disk = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(disk, "source", file=f"/images/vm-{number:05d}.qcow2")
        ET.SubElement(disk, "target", dev="vda", bus="virtio")
    return ET.tostring(node, encoding="unicode")


def _wait_for_vms(url: str, token: str) -> bytes:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = httpx.get(f"{url}/api/vm/vms", headers={"Authorization": f"Bearer {token}"})
        if answer.json()["total"] == VMS:
            return answer.content
        time.sleep(0.1)
    raise RuntimeError("the VMs did not appear")


async def _load(url: str, token: str) -> float:
    """Requests per second over a few connections, kept alive, each asking again when it has its answer."""
    place = urlsplit(url)
    request = (f"GET /api/vm/vms HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n").encode()
    end = time.monotonic() + SECONDS
    counts = await asyncio.gather(
        *(_ask(place.hostname or "", place.port or 0, request, end) for _ in range(CONNECTIONS))
    )
    return sum(counts) / SECONDS


async def _ask(host: str, port: int, request: bytes, end: float) -> int:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    count = 0
    while time.monotonic() < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        count += 1
    writer.close()
    return count
