"""Places for work that lasts: tenants take turns, and none holds more than it may, however many of it wait."""

from __future__ import annotations

import asyncio

import pytest

from novacron_server.places import Places


class Work:
    """What holds places until it is told to end, in the order in which it got them."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.running: list[str] = []
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, *names: str, count: int = 1) -> None:
        """Ask for places. Names are a tenant's letter and a number."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._run(name, count))
            await settle()

    async def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()
            await self.tasks[name]
            await settle()

    async def _run(self, name: str, count: int) -> None:
        async with self.places.hold(name[0] if name[0] != "-" else None, count):
            self.begun.append(name)
            self.running.append(name)
            await self._ends[name].wait()
            self.running.remove(name)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_tenants_take_turns_however_many_of_one_wait() -> None:
    work = Work(Places(2))
    await work.ask("a1", "a2", "a3", "a4", "a5", "b1", "b2", "-1")
    assert work.running == ["a1", "a2"]
    await work.end("a1", "a2", "b1")
    assert work.begun == ["a1", "a2", "a3", "b1", "-1"]
    await work.end("a3", "-1")
    assert work.begun[5:] == ["a4", "b2"]
    await work.end("a4", "b2", "a5")
    assert not work.places.must_wait("a", 2)


async def test_a_tenant_never_holds_more_than_it_may() -> None:
    work = Work(Places(3, 2))
    await work.ask("a1", "a2", "a3", "a4")
    assert work.running == ["a1", "a2"]
    assert work.places.must_wait("a")
    assert not work.places.must_wait("b"), "what waits for its own tenant holds up nobody else"
    await work.ask("b1", "b2")
    assert work.running == ["a1", "a2", "b1"]
    assert work.places.must_wait("c")
    await work.end("a1")
    assert work.running == ["a2", "b1", "a3"], "asked first"
    await work.end("a2", "a3")
    assert work.running == ["b1", "b2", "a4"]
    await work.end("a4", "b1", "b2")


async def test_nobody_overtakes_who_waits_for_several() -> None:
    work = Work(Places(2))
    await work.ask("a1", "a2")
    await work.ask("b1", count=2)
    await work.ask("c1")
    await work.end("a1")
    assert work.running == ["a2"]
    assert work.places.must_wait("c")
    await work.end("a2")
    assert work.running == ["b1"]
    await work.end("b1", "c1")
    assert work.begun == ["a1", "a2", "b1", "c1"]


@pytest.mark.parametrize("late", [False, True], ids=["waits", "has just been given places"])
async def test_what_is_cancelled_holds_nothing(late: bool) -> None:
    work = Work(Places(2))
    await work.ask("a1", "a2")
    await work.ask("b1", count=2)
    await work.ask("c1")
    if late:
        for name in ("a1", "a2"):
            work._ends[name].set()
        while not work.places._held["b"]:
            await asyncio.sleep(0)
        assert "b1" not in work.begun
    work.tasks["b1"].cancel()
    await settle()
    assert "b1" not in work.begun
    if not late:
        await work.end("a1")
    assert "c1" in work.running
    await work.end("a2" if not late else "a1", "c1")
    await asyncio.gather(*work.tasks.values(), return_exceptions=True)
    assert not work.places.must_wait("a", 2)
