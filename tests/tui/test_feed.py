"""The feed: the first change after quiet is told at once, a storm at most once per gap, and nothing is left untold."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from novacron_core.api.events import Heartbeat
from novacron_core.api.vms import VM
from novacron_core.client import Disconnected
from novacron_core.errors import Unauthenticated
from novacron_tui.connection.feed import Feed
from novacron_tui.connection.store import ConnectionState, Store
from tests.support.console.wire import Stream
from tests.support.console.world import NOW, Clock, event, fleet, inventory, live, vm

GAP_S = 0.05


class Fed:
    """A feed that runs on a stream, and the times it published."""

    def __init__(self) -> None:
        self.store = Store(Clock())
        self.stream = Stream()
        self.told: list[float] = []
        self.sizes: list[int] = []
        loop = asyncio.get_running_loop()

        def publish() -> None:
            self.told.append(loop.time())
            self.sizes.append(len(self.store.vms))

        feed = Feed(self.store, publish, gap_s=GAP_S)
        updates: Any = self.stream(None, None)
        self.task = asyncio.ensure_future(feed.run(updates))

    async def until(self, true: Any) -> None:
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0)


async def test_the_first_change_is_told_at_once_and_the_last_is_not_lost() -> None:
    fed = Fed()
    fed.stream.say(live(), inventory([]))
    await fed.until(lambda: fed.store.loaded and len(fed.told) == 2)
    await asyncio.sleep(2 * GAP_S)  # quiet: what is tested is the first change after it
    fed.told.clear()
    fed.sizes.clear()
    storm: list[VM] = [vm(f"web-{n}", n) for n in range(200)]
    fed.stream.say(*(event(100 + n, each, "vm.created") for n, each in enumerate(storm)))
    await fed.until(lambda: fed.sizes[-1:] == [200])
    assert fed.sizes[0] == 1, "told of the first event before the second was read"
    assert all(b - a >= GAP_S * 0.9 for a, b in zip(fed.told, fed.told[1:], strict=False))
    assert len(fed.told) < 20
    fed.task.cancel()


async def test_a_heartbeat_is_not_worth_telling_and_a_lost_line_is() -> None:
    fed = Fed()
    fed.stream.say(live(), inventory(fleet()))
    await fed.until(lambda: fed.store.loaded and len(fed.told) == 2)
    fed.stream.say(Heartbeat(seq=10, server_time=NOW))
    await fed.until(lambda: fed.stream.queue.empty())
    assert len(fed.told) == 2
    fed.stream.say(Disconnected("cut", 1.0))
    await fed.until(lambda: len(fed.told) == 3)
    assert fed.store.connection is ConnectionState.OFFLINE
    fed.task.cancel()


async def test_the_end_of_the_session_is_raised() -> None:
    fed = Fed()
    fed.stream.say(live(), Unauthenticated("over"))
    with pytest.raises(Unauthenticated):
        await fed.task
