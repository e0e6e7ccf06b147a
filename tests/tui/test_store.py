"""The store: frames fold into one picture, whatever their order and however often they come."""

from __future__ import annotations

import msgspec
import pytest

from novacron_core.api.events import Gone, Heartbeat
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import OperationState
from novacron_core.api.vms import State
from novacron_tui.store import KEPT_OPERATIONS, Line, Store
from tests.tui.world import NOW, Clock, event, fleet, gone, host, inventory, live, operation, vm


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    store = Store(clock)
    store.live(live().hello)
    store.apply(inventory(fleet(), seq=10))
    return store


def test_parts_replace_everything_at_once_on_the_last(store: Store) -> None:
    first, second = vm("new-01", 21), vm("new-02", 22)
    part = msgspec.structs.replace(inventory([first], seq=30), last=False)
    assert store.apply(part) is False
    assert len(store.vms) == len(fleet())
    assert store.apply(msgspec.structs.replace(inventory([second], [], seq=30), part=1)) is True
    assert set(store.vms) == {first.id, second.id}
    assert store.seq == 30


def test_parts_of_a_broken_inventory_are_forgotten(store: Store) -> None:
    store.apply(msgspec.structs.replace(inventory([vm("half", 50)], seq=30), last=False))
    store.lost("cut", 1.0)
    store.live(live().hello)
    store.apply(inventory([vm("whole", 51)], seq=31))
    assert [v.name for v in store.vms.values()] == ["whole"]


def test_an_event_carries_the_whole_new_value_and_once_is_enough(store: Store) -> None:
    stopped = msgspec.structs.replace(fleet()[0], state=State.STOPPED)
    assert store.apply(event(11, stopped, "vm.stopped"))
    assert store.vms[stopped.id].state is State.STOPPED
    assert not store.apply(event(11, fleet()[0], "vm.started"))
    assert store.vms[stopped.id].state is State.STOPPED


def test_an_unlogged_value_counts_though_its_number_was_seen(store: Store) -> None:
    stopped = msgspec.structs.replace(fleet()[0], state=State.STOPPED)
    assert store.apply(event(10, stopped, "vm.stopped", unlogged=True))
    assert store.vms[stopped.id].state is State.STOPPED
    assert store.seq == 10


def test_what_is_gone_is_gone(store: Store) -> None:
    store.apply(gone(11, fleet()[0]))
    assert fleet()[0].id not in store.vms


def test_a_running_operation_stands_on_its_vm_until_it_ends(store: Store) -> None:
    target = fleet()[0]
    op = operation("vm.stop", target)
    store.apply(event(11, op, "operation.started"))
    assert store.vms[target.id].operation == op
    further = msgspec.structs.replace(op, progress=0.5)
    store.apply(event(12, further, "operation.updated"))
    assert store.vms[target.id].operation == further
    store.apply(event(13, msgspec.structs.replace(target, operation=op), "vm.updated"))
    assert store.vms[target.id].operation == further, "the newer word on an operation is kept"
    store.apply(event(14, msgspec.structs.replace(op, state=OperationState.SUCCEEDED), "operation.succeeded"))
    assert store.vms[target.id].operation is None
    assert store.running() == []
    store.apply(event(15, msgspec.structs.replace(target, operation=op), "vm.updated"))
    assert store.vms[target.id].operation is None, "an ended operation does not come back with an old value"


def test_an_operation_pushed_aside_by_another_does_not_clear_it(store: Store) -> None:
    target = fleet()[0]
    stop, off = operation("vm.stop", target), operation("vm.power-off", target)
    store.apply(event(11, stop, "operation.started"))
    store.apply(event(12, off, "operation.started"))
    store.apply(event(13, msgspec.structs.replace(stop, state=OperationState.CANCELLED), "operation.cancelled"))
    assert store.vms[target.id].operation == off


def test_live_stale_offline(store: Store, clock: Clock) -> None:
    assert Store(clock).line is Line.LOADING
    assert store.line is Line.LIVE
    clock.pass_s(31)
    assert store.line is Line.STALE
    store.apply(Heartbeat(seq=10, server_time=NOW))
    assert store.line is Line.LIVE
    store.lost("the line to the server was cut", 2.0)
    clock.pass_s(5)
    assert store.line is Line.OFFLINE
    assert store.age_s == 5
    assert store.why_no_change()
    assert store.vms, "the last picture stays"
    store.live(live().hello)
    assert store.line is Line.LIVE
    assert store.why_no_change() is None


def test_after_a_gap_it_is_stale_until_the_inventory(store: Store) -> None:
    store.apply(Gone(after=10))
    assert store.line is Line.STALE
    store.apply(inventory(fleet(), seq=99))
    assert store.line is Line.LIVE


def test_the_first_connection_that_fails_is_offline_not_loading(clock: Clock) -> None:
    store = Store(clock)
    store.lost("refused", 1.0)
    assert store.line is Line.OFFLINE
    store.live(live().hello)
    assert store.line is Line.LOADING


def test_a_malformed_value_makes_the_picture_stale_and_the_next_is_read(store: Store) -> None:
    bad = event(11, fleet()[0], "vm.updated", value=msgspec.Raw(b'{"id": 7}'))
    store.apply(bad)
    assert store.line is Line.STALE
    assert store.apply(event(12, host(status=HostStatus.DOWN), "host.down"))
    assert store.hosts[host().id].status is HostStatus.DOWN


def test_operations_and_events_of_one_vm_newest_first(store: Store) -> None:
    target = fleet()[0]
    store.apply(event(11, operation("vm.pause", target, id="a", state=OperationState.SUCCEEDED), "operation.succeeded"))
    store.apply(event(12, msgspec.structs.replace(target, state=State.PAUSED), "vm.paused"))
    store.apply(event(13, target, "vm.resumed"))
    assert [op.id for op in store.operations_of(target.id)] == ["a"]
    assert [e.type for e in store.events_of(target.id)] == ["vm.resumed", "vm.paused"]


def test_ended_operations_are_kept_within_bounds(store: Store) -> None:
    for n in range(KEPT_OPERATIONS + 50):
        op = operation("vm.pause", fleet()[0], id=f"op-{n}", state=OperationState.SUCCEEDED)
        store.apply(event(100 + n, op, "operation.succeeded"))
    assert len(store.operations) == KEPT_OPERATIONS
    assert f"op-{KEPT_OPERATIONS + 49}" in store.operations
