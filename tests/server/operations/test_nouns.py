"""A noun needs its row in the registry, and the rows that exist when the server starts: a toy noun on both ways."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from novacron_core.api import events
from novacron_core.api.base import Value
from novacron_core.api.events import Event, InventoryFrame
from novacron_core.api.nouns import NOUNS, VMS, Noun, Nouns
from novacron_core.api.operations import Target
from novacron_core.api.vms import VM
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission, Role
from novacron_server.database.transactions import Database
from novacron_server.inventory.state import InventoryState
from novacron_server.outbox.group_commit import GroupCommit
from novacron_server.outbox.reader import OutboxReader
from novacron_server.outbox.records import EventDraft
from novacron_server.stream.hub import Hub, Listener
from novacron_tui.connection.store import Store

pytestmark = pytest.mark.asyncio


class Toy(Value, frozen=True):
    id: str
    name: str
    wheels: int


TOYS = Noun("toy", Toy, "toys", lambda toy: toy.id, Permission.VM_READ)
"""The only registration that a noun needs."""
WITH_TOYS = NOUNS.with_noun(TOYS)


def draft(toy: Toy, kind: str = "toy.created", tenant: str = "red", *, gone: bool = False) -> EventDraft:
    target = Target(type="toy", id=toy.id, name=toy.name)
    return EventDraft(type=kind, source="toys", target=target, tenant=tenant, row=msgspec.to_builtins(toy), gone=gone)


def principal(tenant: str, role: Role = Role.OPERATOR) -> Principal:
    return Principal("u", "ann", role, tenant, "s", datetime(2030, 1, 1, tzinfo=UTC))


async def test_toy_gets_from_an_outbox_row_to_the_store(database: Database) -> None:
    state = InventoryState(nouns=WITH_TOYS)
    hub = Hub(state)
    reader = OutboxReader(database, 0, hub.fold)
    group_commit = GroupCommit(database, reader.wake)
    red, blue = Listener(principal("red")), Listener(principal("blue"))
    hub.add(red)
    hub.add(blue)
    car = Toy(id="t-1", name="car", wheels=4)
    store = Store(nouns=WITH_TOYS)
    async with reader:
        _, seq = await group_commit.write_numbered(lambda _: written([draft(car)]))
        async with asyncio.timeout(10):
            await state.barrier(seq)
        frame = events.decode_frame(red.queue.get_nowait(), WITH_TOYS)
        assert isinstance(frame, Event)
        assert store.apply(frame)
        assert store.table(TOYS) == {"t-1": car}
        assert blue.queue.empty(), "a toy of another tenant"
        assert list(state.tables["toy"].all()) == [("red", car)]
        _, seq = await group_commit.write_numbered(lambda _: written([draft(car, "toy.deleted", gone=True)]))
        async with asyncio.timeout(10):
            await state.barrier(seq)
        frame = events.decode_frame(red.queue.get_nowait(), WITH_TOYS)
        assert isinstance(frame, Event)
        store.apply(frame)
        assert store.table(TOYS) == {}
    await group_commit.close()


async def test_toy_of_the_database_is_there_when_the_server_starts() -> None:
    state = InventoryState(nouns=WITH_TOYS)
    car = Toy(id="t-1", name="car", wheels=4)
    state.load([], [], [], 7, values={"toy": [("red", car)]})
    assert (list(state.tables["toy"].all()), state.seq) == ([("red", car)], 7)


async def written(drafts: list[EventDraft]) -> tuple[None, list[EventDraft]]:
    return None, drafts


async def test_inventory_with_a_new_noun_is_read_by_new_and_old_consoles() -> None:
    car = Toy(id="t-1", name="car", wheels=4)
    raw = events.inventory_text(7, 0, True, {"toys": [car], "vms": []})
    known, unknown = events.decode_frame(raw, WITH_TOYS), events.decode_frame(raw)
    assert isinstance(known, InventoryFrame)
    assert known.of(TOYS) == [car]
    assert isinstance(unknown, InventoryFrame)
    assert (unknown.of(TOYS), unknown.unreadable, unknown.seq) == ([], 0, 7)


async def test_unreadable_object_is_counted_and_the_others_are_read() -> None:
    good = {"id": "t-1", "name": "car", "wheels": 4}
    raw = events.inventory_text(7, 0, True, {"toys": [good, {"id": "t-2", "wheels": "many"}, good | {"id": "t-3"}]})
    frame = events.decode_frame(raw, WITH_TOYS)
    assert isinstance(frame, InventoryFrame)
    assert ([toy.id for toy in frame.of(TOYS)], frame.unreadable) == (["t-1", "t-3"], 1)
    store = Store(nouns=WITH_TOYS)
    store.apply(frame)
    assert set(store.table(TOYS)) == {"t-1", "t-3"}


async def test_unreadable_row_does_not_stop_the_stream(database: Database) -> None:
    state = InventoryState(nouns=WITH_TOYS)
    reader = OutboxReader(database, 0, Hub(state).fold)
    group_commit = GroupCommit(database, reader.wake)
    broken = msgspec.structs.replace(draft(Toy(id="t-1", name="car", wheels=4)), row={"wheels": "many"})
    async with reader:
        _, seq = await group_commit.write_numbered(
            lambda _: written([broken, draft(Toy(id="t-2", name="b", wheels=2))])
        )
        async with asyncio.timeout(10):
            await state.barrier(seq)
    assert [toy.id for _, toy in state.tables["toy"].all()] == ["t-2"]
    await group_commit.close()


async def test_keys_distinguish_objects_of_two_hosts() -> None:
    vm = VM(id="v", name="web", host="h1", state="running", vcpus=1, memory_bytes=1)  # type: ignore[arg-type]
    assert VMS.key(vm) == VMS.key_of("h1", "v") == ("h1", "v")
    assert TOYS.key(Toy(id="t", name="", wheels=1)) == TOYS.key_of("anywhere", "t") == "t"


async def test_nouns_with_the_same_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        Nouns([TOYS, TOYS])
    with pytest.raises(ValueError, match="share"):
        NOUNS.with_noun(Noun("box", Toy, "vms", lambda toy: toy.id, Permission.VM_READ))
