"""Reads whose cost their readers decide leave connections for everything else."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

import pytest

from novacron_core import errors
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from novacron_server.database.turns import Turns


def member(name: str, tenant: str) -> Principal:
    return Principal(name, name, Role.VIEWER, tenant, name, datetime.max.replace(tzinfo=UTC))


@pytest.mark.parametrize("tenants", [("red",), ("red", "blue")])
@pytest.mark.parametrize(("connections", "most", "of_tenant"), [(2, 1, 1), (4, 2, 1), (16, 8, 6)])
async def test_all_kinds_of_long_reads_share_half_of_the_connections(
    tenants: tuple[str, ...], connections: int, most: int, of_tenant: int
) -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", connections=connections)
    kinds = [Turns(4, within=database.long_reads) for _ in range(3)]
    reading: Counter[str] = Counter()
    go = asyncio.Event()

    async def read(person: Principal, kind: Turns | None) -> None:
        async with database.search(person) if kind is None else kind.of(person):
            reading[person.tenant] += 1
            await go.wait()
            reading[person.tenant] -= 1

    people = [member(f"{tenant}-{number}", tenant) for tenant in tenants for number in range(9)]
    readers = [asyncio.create_task(read(person, kind)) for kind in (None, *kinds) for person in people]
    for _ in range(100):  # until nobody gets a place any more
        await asyncio.sleep(0)
    assert reading.total() == min(most, of_tenant * len(tenants))
    assert max(reading.values()) <= of_tenant
    go.set()
    await asyncio.gather(*readers)
    assert not reading.total()
    await database.close()


async def test_place_is_given_back_by_a_read_that_gives_up_waiting() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none", connections=2)
    kind, other = (Turns(2, within=database.long_reads) for _ in range(2))
    async with kind.of(member("ann", "red")):
        with pytest.raises(errors.RateLimited, match="wait"):
            async with other.of(member("bob", "blue"), 0.01, "wait"):
                pass
    async with other.of(member("bob", "blue"), 1.0, "wait"):
        pass
    await database.close()
