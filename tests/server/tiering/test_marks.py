"""Events about the capacity marks of tiers: who is told, once, and not again after a restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import stored_events, tiering
from novacron_core.api.stored_events import EventQuery, StoredEvent
from novacron_core.api.tiering import PolicyChange
from novacron_core.client import Client
from novacron_core.values.roles import Role
from novacron_core.values.sizes import GIB
from novacron_core.values.tiers import TierName
from novacron_server.database.repository import store_setting
from novacron_server.tiering import marks
from novacron_server.tiering.marks import TierMarks
from novacron_server.tiering.spaces import TierDisks
from tests.support.event_stream import open_stream
from tests.support.requests import three_pools
from tests.support.server import LiveServer
from tests.support.tenants import add_tenant, member_of
from tests.support.waiting import until


class Disks:
    """What the tiers of the host use, in GiB of 100."""

    def __init__(self, server: LiveServer) -> None:
        self.server, self.tiers = server, list[TierDisks]()

    def use(self, **used: int) -> None:
        """A read of the host has found this."""
        names: Sequence[TierName] = ("hot", "warm", "cold")
        self.tiers = [TierDisks(name, 100 * GIB, used[name] * GIB) for name in names if name in used]
        self.read()

    def read(self) -> None:
        self.server.parts.inventory.storage_read.emit(next(iter(self.server.parts.inventory.state.views)))


@pytest.fixture
async def disks(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> Disks:
    await three_pools(server)
    found = Disks(server)
    monkeypatch.setattr(marks, "tiers_of", lambda *_: found.tiers)
    return found


async def told(client: Client) -> list[StoredEvent]:
    """What was told of tiers, oldest first."""
    q = "type:tier.filling,tier.nearly_full,tier.relieved"
    return (await client.call(stored_events.LIST, query=EventQuery(q=q))).items[::-1]


async def types(server: LiveServer, count: int) -> list[str]:
    async def reached() -> list[str] | None:
        found = [event.type for event in await told(server.admin)]
        return found if len(found) >= count else None

    return await until(reached)


async def test_each_crossing_is_one_event_with_what_to_do(server: LiveServer, disks: Disks) -> None:
    (host,) = server.parts.inventory.state.views.values()
    async with open_stream(server) as stream:
        disks.use(hot=50, warm=10)
        disks.use(hot=83, warm=10)
        event = await stream.event("tier.filling")
        assert (event["priority"], event["source"], event["target"]["id"]) == ("high", host.id, "hot")
        assert event["note"] == (
            f"hot on {host.name} is filling up: 83% used, 83 GiB of 100 GiB. Its mark is 80%; "
            "novacron storage advice shows what can leave"
        )
        assert event["value"]["name"] == "hot"
        for used in (79, 84, 76):
            disks.use(hot=used, warm=10)
        disks.use(hot=95, warm=10)
        assert (await stream.event("tier.nearly_full"))["priority"] == "critical"
        disks.use(hot=60, warm=10)
        assert (await stream.event("tier.relieved"))["priority"] == "normal"
    assert await types(server, 3) == ["tier.filling", "tier.nearly_full", "tier.relieved"]


async def test_nothing_is_told_again_after_a_restart(server: LiveServer, disks: Disks) -> None:
    disks.use(hot=83, cold=95)
    assert sorted(await types(server, 2)) == ["tier.filling", "tier.nearly_full"]
    parts = server.parts
    next_server = TierMarks(parts.group_commit, parts.inventory, lambda: parts.heat.advisor.policy)
    await parts.database.run(next_server.load)
    next_server._look(next(iter(parts.inventory.state.views)))
    assert not next_server._wake.is_set()
    await next_server._tell()
    assert len(await told(server.admin)) == 2
    disks.use(hot=60, cold=95)
    await until(lambda: _last_is(server, "tier.relieved"))
    assert [event.target.id for event in await told(server.admin)][-1] == "hot"


async def _last_is(server: LiveServer, kind: str) -> bool | None:
    return (await told(server.admin))[-1].type == kind or None


async def test_repeated_transaction_tells_nothing_twice(
    server: LiveServer, disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after one whose outcome was not known: it was committed, and the server believes that it was not."""
    real: Any = server.parts.group_commit.write
    lost: list[object] = []

    async def write(unit: object) -> object:
        result: object = await real(unit)
        if not lost:
            lost.append(result)
            raise errors.DatabaseUnavailable("lost")
        return result

    monkeypatch.setattr(server.parts.group_commit, "write", write)
    monkeypatch.setattr(marks, "_RETRY_S", 0.01)
    disks.use(hot=83)
    await until(lambda: _is_known(server))
    assert [event.type for event in await told(server.admin)] == ["tier.filling"]


async def _is_known(server: LiveServer) -> bool | None:
    return bool(server.parts.heat.marks._told) or None


async def test_tier_that_cannot_be_seen_stays_as_it_was_told(server: LiveServer, disks: Disks) -> None:
    disks.use(hot=95)
    await types(server, 1)
    disks.use()
    disks.use(hot=95)
    await server.parts.heat.marks._tell()
    assert [event.type for event in await told(server.admin)] == ["tier.nearly_full"]


async def test_members_are_told_too_and_tenants_share_the_marks(
    server: LiveServer, disks: Disks, owner_url: str
) -> None:
    await add_tenant(owner_url, "red")
    ron = await member_of(server, owner_url, "ron", "red", Role.VIEWER)
    await server.admin.call(tiering.SET_POLICY, body=PolicyChange(high_mark=0.6, low_mark=0.5))
    disks.use(hot=61)
    await types(server, 1)
    (event,) = await told(ron)
    assert "61% used, 61 GiB of 100 GiB. Its mark is 60%" in event.note


async def test_tiers_on_one_disk_are_one_event(server: LiveServer, disks: Disks) -> None:
    disks.tiers = [TierDisks("hot", 100 * GIB, 83 * GIB), TierDisks("cold", 100 * GIB, 83 * GIB, shares_with="hot")]
    disks.read()
    await types(server, 1)
    (event,) = await told(server.admin)
    assert event.note.startswith("The disk of hot and cold on ")


@pytest.mark.parametrize("stored", [None, [], {"h": 1}, {"h": {"hot": "much"}}, {"h": {"hot": None}}, "x"])
async def test_stored_state_that_cannot_be_counts_as_not_told(server: LiveServer, disks: Disks, stored: object) -> None:
    await server.parts.database.run(lambda c: store_setting(c, marks.KEY, stored))
    await server.parts.database.run(server.parts.heat.marks.load)
    disks.use(hot=83)
    assert await types(server, 1) == ["tier.filling"]
