"""A pool that is slow, hangs or is refused costs its own listing, and no other pool's."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import libvirt
import msgspec
import pytest
import pytest_asyncio

from novacron_core.errors import HostUnavailable
from novacron_server.hypervisor import pool_listings
from novacron_server.hypervisor.connection.session import HostSession
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor, Timing
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.pool_listings import Listing, PoolListings
from novacron_server.hypervisor.vms.domains import DomainReader
from tests.support.libvirt_objects import libvirt_error
from tests.support.waiting import until


def pool(name: str) -> PoolFacts:
    return PoolFacts(
        uuid=f"uuid of {name}",
        name=name,
        path=f"/{name}",
        active=True,
        capacity_bytes=1,
        allocated_bytes=1,
        available_bytes=1,
        type="dir",
    )


def volume(pool: str, name: str) -> VolumeFacts:
    return VolumeFacts(
        pool=pool,
        pool_uuid="u",
        name=name,
        path=f"/{pool}/{name}",
        size_bytes=1,
        allocated_bytes=1,
        format="raw",
    )


def connected(session: HostSession[DomainReader], connection: Any) -> None: ...


@pytest_asyncio.fixture
async def supervisor() -> AsyncIterator[ConnectionSupervisor[DomainReader]]:
    made = ConnectionSupervisor(
        "test:///default",
        Timing(listing_s=1.0),
        DomainReader,
        on_status=lambda: None,
        on_event=lambda kind, uuid: None,
        on_connect=connected,
    )
    await made.open()
    yield made
    await made.close()


class Pools:
    """Answers for listings by pool: what is called for one, else its one volume."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, Callable[[], Listing]] = {}
        self.listed: list[str] = []
        monkeypatch.setattr(pool_listings, "read_volumes", self._read)

    def _read(self, _connection: Any, pool: PoolFacts, **_: Any) -> Listing:
        self.listed.append(pool.name)
        answer = self.answers.get(pool.name)
        return answer() if answer else ([volume(pool.name, "v")], "")


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Pools:
    return Pools(monkeypatch)


async def read(listings: PoolListings, *names: str) -> dict[str, tuple[list[str], str]]:
    found = await listings.read([pool(name) for name in names], refresh=False, wanted={})
    return {name: ([facts.name for facts in listed], problem) for name, (listed, problem) in found.items()}


async def test_pools_that_hang_keep_their_last_listing(
    supervisor: ConnectionSupervisor[DomainReader], pools: Pools
) -> None:
    listings, go = PoolListings(supervisor), threading.Event()
    assert await read(listings, "a", "b") == {"a": (["v"], ""), "b": (["v"], "")}

    def hang() -> Listing:
        go.wait()
        return [volume("a", "late")], ""

    pools.answers = {"a": hang, "new": hang}
    for _ in range(3):
        found = await read(listings, "a", "new", "b")
        assert found["b"] == (["v"], "")
        slow = "libvirt needs more than 1 seconds to list its volumes"
        assert found["a"] == (["v"], f"{slow}: they may have changed")
        assert found["new"] == ([], f"{slow}: they are not known yet")
    assert pools.listed.count("a") == 2, "a pool in which a call hangs gets no other"
    pools.answers = {}
    go.set()

    async def answers() -> bool | None:
        return True if await read(listings, "a", "b") == {"a": (["v"], ""), "b": (["v"], "")} else None

    await until(answers)


async def test_libvirt_is_not_sent_into_a_directory_that_does_not_respond(
    supervisor: ConnectionSupervisor[DomainReader], pools: Pools
) -> None:
    listings = PoolListings(supervisor)
    await read(listings, "a", "b")
    dead = msgspec.structs.replace(pool("a"), responds=False, problem="its directory does not respond")
    found = await listings.read([dead, pool("b")], refresh=True, wanted={})
    assert found == {"a": ([volume("a", "v")], "its directory does not respond"), "b": ([volume("b", "v")], "")}
    assert pools.listed == ["a", "b", "b"]


async def test_refused_pool_costs_no_other(supervisor: ConnectionSupervisor[DomainReader], pools: Pools) -> None:
    def refuse() -> Listing:
        raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "internal error: odd", libvirt.VIR_FROM_STORAGE)

    pools.answers = {"a": refuse}
    found = await read(PoolListings(supervisor), "a", "b")
    assert found == {"a": ([], "its volumes cannot be listed: internal error: odd"), "b": (["v"], "")}


async def test_lost_connection_is_no_slow_pool(supervisor: ConnectionSupervisor[DomainReader], pools: Pools) -> None:
    session = supervisor.require()

    def lose() -> Listing:
        session.lost.get_loop().call_soon_threadsafe(session.lose, "gone")
        threading.Event().wait(0.2)
        return [], ""

    pools.answers = {"a": lose}
    with pytest.raises(HostUnavailable, match="lost"):
        await read(PoolListings(supervisor), "a", "b")
