"""Clients that create VMs, each request with its own idempotency key, and repeat a request until it is accepted."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import httpx

from novacron_core.local_server import read_running_server


class CreatingClients:
    """`accepted` are the names of the VMs that the server acknowledged with 202."""

    def __init__(self, data_dir: Path, token: str) -> None:
        self._data_dir, self._token = data_dir, token
        self._numbers = itertools.count()
        self.accepted: list[str] = []

    async def run(self, clients: int) -> None:
        """Create VMs until cancelled."""
        await asyncio.gather(*(self._run_client() for _ in range(clients)))

    async def _run_client(self) -> None:
        async with httpx.AsyncClient(timeout=5, headers={"Authorization": f"Bearer {self._token}"}) as http:
            while True:
                name = f"kill-{next(self._numbers):04d}"
                body = {"name": name, "image": "empty", "memory_bytes": 32 << 20, "start": False}
                while not await self._request(http, body):
                    await asyncio.sleep(0.1)
                self.accepted.append(name)

    async def _request(self, http: httpx.AsyncClient, body: dict[str, object]) -> bool:
        running = read_running_server(self._data_dir)
        if running is None:
            return False
        try:
            answer = await http.post(
                f"{running.url}/api/vm/vms", json=body, headers={"Idempotency-Key": f"key-{body['name']}"}
            )
        except httpx.TransportError:
            return False
        if answer.status_code not in (202, 429, 500, 503):
            raise AssertionError(f"{answer.status_code}: {answer.text}")
        return answer.status_code == 202
