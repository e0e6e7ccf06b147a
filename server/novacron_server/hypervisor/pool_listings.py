"""Lists the volumes of a host's pools, each by itself: one that is slow or hangs costs no other."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from novacron_core.errors import HostUnavailable, NovaCronError
from novacron_core.values.tiers import FILE_POOLS
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor
from novacron_server.hypervisor.connection.uris import is_local
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.storage.headers import Headers
from novacron_server.hypervisor.storage.volumes import read_volumes
from novacron_server.hypervisor.vms.domains import DomainReader
from novacron_server.tasks import cancel_tasks

Listing = tuple[list[VolumeFacts], str]
"""The volumes of a pool, and why they cannot be listed (now), as a sentence that is empty if they can."""


class PoolListings:
    """While a pool is not listed in time, its last listing is returned, and no other call is made to it."""

    def __init__(self, supervisor: ConnectionSupervisor[DomainReader]) -> None:
        self._supervisor = supervisor
        self._last: dict[str, list[VolumeFacts]] = {}
        self._running: set[str] = set()
        self._headers = Headers() if is_local(supervisor.uri) else None

    async def read(
        self, pools: Sequence[PoolFacts], *, refresh: bool, wanted: Mapping[str, Collection[str]]
    ) -> dict[str, Listing]:
        """The listings of these active pools, by name. `refresh` and `wanted` (pool → names) as in
        `volumes.read_volumes`. Raises HostUnavailable when the connection is lost."""
        uuids = {pool.uuid for pool in pools}
        self._last = {uuid: volumes for uuid, volumes in self._last.items() if uuid in uuids}
        tasks = [asyncio.ensure_future(self._read(pool, refresh, wanted.get(pool.name, ()))) for pool in pools]
        try:
            listings = await asyncio.gather(*tasks)
        finally:
            await cancel_tasks(tasks)
        return {pool.name: listing for pool, listing in zip(pools, listings, strict=True)}

    async def _read(self, pool: PoolFacts, refresh: bool, wanted: Collection[str]) -> Listing:
        if not pool.responds:
            return self._last.get(pool.uuid, []), pool.problem
        if pool.uuid not in self._running:
            session, supervisor = self._supervisor.require(), self._supervisor
            try:
                return await supervisor.call(
                    supervisor.listings,
                    lambda connection: self._list(connection, pool, refresh, wanted),
                    deadline_s=supervisor.timing.listing_s,
                )
            except HostUnavailable:
                if session.lost.done():
                    raise
            except NovaCronError as error:
                return self._last.get(pool.uuid, []), f"its volumes cannot be listed: {error.detail}"
        return self._last.get(pool.uuid, []), self._why_slow(pool)

    def _list(self, connection: Any, pool: PoolFacts, refresh: bool, wanted: Collection[str]) -> Listing:
        """Runs in a worker thread, perhaps to its end after the deadline: the next read uses what it has found."""
        self._running.add(pool.uuid)
        try:
            volumes, problem = read_volumes(connection, pool, refresh=refresh, wanted=wanted)
            if self._headers is not None and pool.type in FILE_POOLS:
                volumes = self._headers.complete(pool.path, volumes)
            self._last[pool.uuid] = volumes
        finally:
            self._running.discard(pool.uuid)
        return volumes, problem

    def _why_slow(self, pool: PoolFacts) -> str:
        slow = f"libvirt needs more than {self._supervisor.timing.listing_s:.0f} seconds to list its volumes"
        return f"{slow}: they may have changed" if pool.uuid in self._last else f"{slow}: they are not known yet"
