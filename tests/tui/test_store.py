"""The store: frames fold into one picture, whatever their order and however often they come."""

from __future__ import annotations

import msgspec
import pytest

from novacron_core.api.events import (
    Event,
    GoneFrame,
    Heartbeat,
    InventoryFrame,
    ValuesFrame,
    decode_frame,
    encode_inventory,
    values_text,
)
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import OperationState, Target
from novacron_core.api.vms import VM, State
from novacron_tui.connection.store import MAX_OPERATIONS, ConnectionState, Store, key_of
from tests.support.console.storage_world import pool
from tests.support.console.world import (
    HOST_ID,
    NOW,
    OTHER_HOST_ID,
    Clock,
    event,
    fleet,
    gone,
    host,
    inventory,
    live,
    operation,
    vm,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    store = Store(clock)
    store.set_connected(live().hello)
    store.apply(inventory(fleet(), seq=10))
    return store


def test_parts_replace_everything_at_once_on_the_last(store: Store) -> None:
    first, second = vm("new-01", 21), vm("new-02", 22)
    part = msgspec.structs.replace(inventory([first], seq=30), last=False)
    assert store.apply(part) is False
    assert len(store.vms) == len(fleet())
    assert store.apply(msgspec.structs.replace(inventory([second], [], seq=30), part=1)) is True
    assert set(store.vms) == {key_of(first), key_of(second)}
    assert store.seq == 30


def test_values_replace_those_of_their_nouns_alone(store: Store) -> None:
    first, second = pool("hot"), pool("warm")
    raw = values_text({"pools": [first, second], "tiers": [], "unknown": [1]})
    frame = decode_frame(raw)
    assert isinstance(frame, ValuesFrame)
    assert store.apply(frame) is True
    assert list(store.pools.values()) == [first, second]
    assert isinstance(only := decode_frame(values_text({"pools": [second, {"id": 7}]})), ValuesFrame)
    assert (only.unreadable, store.apply(only)) == (1, True)
    assert list(store.pools.values()) == [second]
    assert len(store.vms) == len(fleet())
    assert store.seq == 10


def test_parts_of_a_broken_inventory_are_forgotten(store: Store) -> None:
    store.apply(msgspec.structs.replace(inventory([vm("half", 50)], seq=30), last=False))
    store.set_disconnected("cut", 1.0)
    store.set_connected(live().hello)
    store.apply(inventory([vm("whole", 51)], seq=31))
    assert [v.name for v in store.vms.values()] == ["whole"]


def test_an_event_carries_the_whole_new_value_and_once_is_enough(store: Store) -> None:
    stopped = msgspec.structs.replace(fleet()[0], state=State.STOPPED)
    assert store.apply(event(11, stopped, "vm.stopped"))
    assert store.vms[key_of(stopped)].state is State.STOPPED
    assert not store.apply(event(11, fleet()[0], "vm.started"))
    assert store.vms[key_of(stopped)].state is State.STOPPED


def test_an_unlogged_value_counts_though_its_number_was_seen(store: Store) -> None:
    stopped = msgspec.structs.replace(fleet()[0], state=State.STOPPED)
    assert store.apply(event(10, stopped, "vm.stopped", unlogged=True))
    assert store.vms[key_of(stopped)].state is State.STOPPED
    assert store.seq == 10


def test_what_is_gone_is_gone(store: Store) -> None:
    store.apply(gone(11, fleet()[0]))
    assert key_of(fleet()[0]) not in store.vms


def test_a_running_operation_stands_on_its_vm_until_it_ends(store: Store) -> None:
    target = fleet()[0]
    op = operation("vm.stop", target)
    store.apply(event(11, op, "operation.started"))
    assert store.operation_on(store.vms[key_of(target)]) == op
    further = msgspec.structs.replace(op, progress=0.5)
    store.apply(event(12, further, "operation.updated"))
    assert store.operation_on(store.vms[key_of(target)]) == further
    store.apply(event(13, msgspec.structs.replace(target, operation_id=op.id), "vm.updated"))
    assert store.operation_on(store.vms[key_of(target)]) == further, "the newer word on an operation is kept"
    store.apply(event(14, msgspec.structs.replace(op, state=OperationState.SUCCEEDED), "operation.succeeded"))
    assert store.operation_on(store.vms[key_of(target)]) is None
    assert store.running() == []
    store.apply(event(15, msgspec.structs.replace(target, operation_id=op.id), "vm.updated"))
    assert store.operation_on(store.vms[key_of(target)]) is None, (
        "an ended operation does not come back with an old value"
    )


def test_an_operation_that_locks_a_vm_is_found_by_its_id(store: Store) -> None:
    """A volume's move locks its VM: the operation's target is the volume, the VM only names it."""
    target, move = fleet()[0], operation("volume.move", fleet()[1])
    locked = msgspec.structs.replace(target, operation_id=move.id)
    store.apply(event(11, locked, "vm.updated"))
    assert store.operation_on(locked) is None, "not known yet"
    store.apply(event(12, move, "operation.started"))
    assert store.operation_on(locked) == move
    assert store.operation_on(target) is None
    store.apply(event(13, msgspec.structs.replace(move, state=OperationState.FAILED), "operation.failed"))
    assert store.operation_on(locked) is None


def test_an_operation_pushed_aside_by_another_does_not_clear_it(store: Store) -> None:
    target = fleet()[0]
    stop, off = operation("vm.stop", target), operation("vm.power-off", target)
    store.apply(event(11, stop, "operation.started"))
    store.apply(event(12, off, "operation.started"))
    store.apply(event(13, msgspec.structs.replace(stop, state=OperationState.CANCELLED), "operation.cancelled"))
    assert store.operation_on(store.vms[key_of(target)]) == off


def connection_of(store: Store) -> ConnectionState:
    """Read anew each time; a type checker takes an attribute for unchanged."""
    return store.connection


def test_live_stale_offline(store: Store, clock: Clock) -> None:
    assert Store(clock).connection is ConnectionState.LOADING
    assert connection_of(store) is ConnectionState.LIVE
    clock.pass_s(31)
    assert connection_of(store) is ConnectionState.STALE
    store.apply(Heartbeat(seq=10, server_time=NOW))
    assert connection_of(store) is ConnectionState.LIVE
    store.set_disconnected("the connection to the server was lost", 2.0)
    clock.pass_s(5)
    assert connection_of(store) is ConnectionState.OFFLINE
    assert store.age_s == 5
    assert store.why_no_change()
    assert store.vms, "the last picture stays"
    store.set_connected(live().hello)
    assert connection_of(store) is ConnectionState.LIVE
    assert store.why_no_change() is None


def test_after_a_gap_it_is_stale_until_the_inventory(store: Store) -> None:
    store.apply(GoneFrame(after=10))
    assert connection_of(store) is ConnectionState.STALE
    store.apply(inventory(fleet(), seq=99))
    assert connection_of(store) is ConnectionState.LIVE


def test_the_first_connection_that_fails_is_offline_not_loading(clock: Clock) -> None:
    store = Store(clock)
    store.set_disconnected("refused", 1.0)
    assert connection_of(store) is ConnectionState.OFFLINE
    store.set_connected(live().hello)
    assert connection_of(store) is ConnectionState.LOADING


def test_a_malformed_value_makes_the_picture_stale_and_the_next_is_read(store: Store) -> None:
    bad = event(11, fleet()[0], "vm.updated", value=msgspec.Raw(b'{"id": 7}'))
    store.apply(bad)
    assert connection_of(store) is ConnectionState.STALE
    assert store.apply(event(12, host(status=HostStatus.DOWN), "host.down"))
    assert store.hosts[host().id].status is HostStatus.DOWN


def test_operations_and_events_of_one_vm_newest_first(store: Store) -> None:
    target = fleet()[0]
    store.apply(event(11, operation("vm.pause", target, id="a", state=OperationState.SUCCEEDED), "operation.succeeded"))
    store.apply(event(12, msgspec.structs.replace(target, state=State.PAUSED), "vm.paused"))
    store.apply(event(13, target, "vm.resumed"))
    assert [op.id for op in store.operations_of(target.id)] == ["a"]
    assert [e.type for e in store.events_of(target)] == ["vm.resumed", "vm.paused"]


def test_ended_operations_are_kept_within_bounds(store: Store) -> None:
    for n in range(MAX_OPERATIONS + 50):
        op = operation("vm.pause", fleet()[0], id=f"op-{n}", state=OperationState.SUCCEEDED)
        store.apply(event(100 + n, op, "operation.succeeded"))
    assert len(store.operations) == MAX_OPERATIONS
    assert f"op-{MAX_OPERATIONS + 49}" in store.operations


def test_operations_of_bulks_make_room_first(store: Store) -> None:
    first = operation("vm.pause", fleet()[0], id="alone", state=OperationState.SUCCEEDED)
    store.apply(event(99, first, "operation.succeeded"))
    for n in range(MAX_OPERATIONS + 50):
        op = operation("vm.pause", fleet()[0], id=f"op-{n}", state=OperationState.SUCCEEDED, parent="bulk-1")
        store.apply(event(100 + n, op, "operation.succeeded"))
    assert len(store.operations) == MAX_OPERATIONS
    assert "alone" in store.operations


def twins() -> tuple[VM, VM]:
    """The same UUID on two hosts, as the server tells it."""
    one = vm("one", 60, duplicate_on=[OTHER_HOST_ID])
    return one, vm("two", 60, State.STOPPED, host=OTHER_HOST_ID, duplicate_on=[HOST_ID])


def test_one_uuid_on_two_hosts_is_two_vms_and_each_goes_its_own_way(store: Store) -> None:
    one, two = twins()
    store.apply(inventory([one, two], [host(), host(id=OTHER_HOST_ID, name="kvm-b")], seq=20))
    assert set(store.vms) == {(HOST_ID, one.id), (OTHER_HOST_ID, one.id)}
    store.apply(event(21, msgspec.structs.replace(two, state=State.RUNNING), "vm.started"))
    assert [store.vms[key_of(v)].state for v in (one, two)] == [State.RUNNING, State.RUNNING]
    assert [e.type for e in store.events_of(two)] == ["vm.started"]
    assert store.events_of(one) == [], "what the other host told of its own"
    store.apply(gone(22, two))
    assert [v.name for v in store.vms_with(one.id)] == ["one"]
    store.apply(gone(23, two))
    assert list(store.vms) == [key_of(one)]
    store.apply(gone(24, one))
    assert (store.vms, store.vms_with(one.id)) == ({}, [])


def test_an_operation_names_only_the_uuid_and_is_shown_on_both(store: Store) -> None:
    one, two = twins()
    store.apply(inventory([one, two], seq=20))
    op = operation("vm.stop", one)
    store.apply(event(21, op, "operation.started"))
    assert [store.operation_on(v) for v in (one, two)] == [op, op]
    store.apply(event(22, msgspec.structs.replace(op, state=OperationState.FAILED), "operation.failed"))
    assert [store.operation_on(v) for v in (one, two)] == [None, None]


def test_a_state_of_a_newer_server_is_kept_as_it_came() -> None:
    raw = encode_inventory(inventory([vm("web-01", 1, State.RUNNING)])).replace(b'"running"', b'"hibernating"')
    frame = decode_frame(raw)
    assert isinstance(frame, InventoryFrame)
    store = Store()
    store.apply(frame)
    (found,) = store.vms.values()
    assert (str(found.state), found.state.known) == ("hibernating", False)
    assert store.counts() == {"hibernating": 1}


def test_an_event_about_an_unknown_kind_of_thing_changes_nothing_that_is_known(store: Store) -> None:
    before = (dict(store.vms), dict(store.volumes))
    target = Target(type="snapshot", id="s-1", name="before-upgrade")
    value = msgspec.Raw(b'{"id": "s-1", "tree": [1, 2]}')
    news = Event(
        seq=store.seq + 1, id="e", type="snapshot.created", source="snapshots", target=target, time=NOW, value=value
    )
    assert store.apply(news)
    assert (store.vms, store.volumes) == before
    assert connection_of(store) is ConnectionState.LIVE
