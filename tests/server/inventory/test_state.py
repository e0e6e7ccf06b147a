"""The inventory state: facts change at once, rows by events, and values are composed on demand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import libvirt
import msgspec
import pytest

from novacron_core.api.events import Priority
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation, OperationState, Target
from novacron_core.api.vms import State, VMCreate
from novacron_server.hypervisor.facts import DiskFacts, DomainFacts, NICFacts, PoolFacts, VolumeFacts
from novacron_server.hypervisor.networks.leases import read_addresses
from novacron_server.inventory.compose import HostView, KnownDomain
from novacron_server.inventory.rows import PoolRow, VMRow, VolumeRow
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.storage_state import StorageState
from novacron_server.inventory.volume_listing import compare
from novacron_server.outbox.records import EventRecord
from tests.support.libvirt_objects import libvirt_error

NOW = datetime(2026, 11, 23, tzinfo=UTC)
VM_ID = str(uuid4())
KEY = ("h", VM_ID)
FACTS = DomainFacts(
    uuid=VM_ID,
    name="web-01",
    state=State.RUNNING,
    vcpus=2,
    memory_bytes=1 << 30,
    nics=(NICFacts(mac="52:54:00:AA:bb:cc", network="default"),),
    disks=(DiskFacts(target="vda", pool="p", volume="web.qcow2"),),
)
ROW = VMRow(
    id=VM_ID,
    host_id="h",
    name="web-01",
    tenant="t",
    owner="ann",
    tags={"a": "b"},
    spec=msgspec.to_builtins(VMCreate(name="web-01", image="alpine", vcpus=3)),
    created_at=NOW,
    updated_at=NOW,
)


def test_storage_read_that_ends_after_its_host_was_lost_tells_nothing_of_now() -> None:
    state = InventoryState()
    pool = PoolFacts(
        uuid=str(uuid4()),
        name="p",
        path="/p",
        active=True,
        capacity_bytes=9,
        allocated_bytes=4,
        available_bytes=5,
        type="dir",
    )
    host_id = str(uuid4())
    state.set_view(replace(view(), id=host_id))
    state.set_storage(host_id, [pool], [], NOW)
    assert [found.available_bytes for found in state.storage.pools()] == [5]
    state.set_view(replace(view(HostStatus.DOWN, NOW), id=host_id))
    changes = state.host_lost(host_id)
    assert [found.available_bytes for found in changes.pools] == [None]
    state.set_storage(host_id, [pool], [], NOW)
    assert [(found.available_bytes, found.problem) for found in state.storage.pools()] == [
        (None, "kvm-a does not respond")
    ]
    state.set_view(replace(view(), id=host_id))
    state.set_storage(host_id, [pool], [], NOW)
    assert [(found.available_bytes, found.problem) for found in state.storage.pools()] == [(5, "")]


def view(status: HostStatus = HostStatus.UP, down_since: datetime | None = None) -> HostView:
    return HostView("h", "kvm-a", "qemu:///system", status, "gone" if down_since else "", NOW, 1.0, None, down_since)


def record(seq: int, target: Target, row: object, *, gone: bool = False) -> EventRecord:
    return EventRecord(
        seq=seq,
        id=str(uuid4()),
        type="x.y",
        source="h",
        target=target,
        tenant="t",
        priority=Priority.NORMAL,
        time=NOW,
        row=msgspec.to_builtins(row),
        gone=gone,
        note="",
    )


def operation(kind: str, state: OperationState = OperationState.RUNNING) -> Operation:
    target = Target(type="vm", id=VM_ID, name="web-01")
    return Operation(id="1" * 8, kind=kind, target=target, state=state, created_at=NOW, tenant="t", actor="ann")


@pytest.fixture
def state() -> InventoryState:
    made = InventoryState()
    made.set_view(view())
    made.set_known(KEY, KnownDomain(FACTS, NOW, None))
    return made


def fold_row(state: InventoryState, *, gone: bool = False) -> None:
    state.fold(record(state.seq + 1, Target(type="vm", id=VM_ID), ROW, gone=gone))


def fold_operation(state: InventoryState, value: Operation) -> None:
    state.fold(record(state.seq + 1, Target(type="operation", id=value.id), value))


def test_domain_without_a_row_is_unmanaged_and_has_no_owner(state: InventoryState) -> None:
    vm = state.vm(VM_ID)
    assert vm is not None
    assert (vm.unmanaged, vm.tenant, vm.generation) == (True, None, 0)


def test_row_makes_a_vm_managed_and_its_removal_unmanaged(state: InventoryState) -> None:
    fold_row(state)
    vm = state.vm(VM_ID)
    assert vm is not None
    assert (vm.unmanaged, vm.tenant, vm.owner, vm.tags) == (False, "t", "ann", {"a": "b"})
    fold_row(state, gone=True)
    vm = state.vm(VM_ID)
    assert vm is not None
    assert vm.unmanaged


def test_row_without_a_domain_is_a_vm_only_during_creation() -> None:
    state = InventoryState()
    state.set_view(view())
    fold_row(state)
    assert state.vm(VM_ID) is None
    fold_operation(state, operation("vm.create"))
    vm = state.vm(VM_ID)
    assert vm is not None
    assert (vm.state, vm.vcpus, vm.memory_bytes) == (State.PROVISIONING, 3, VMCreate(name="a", image="b").memory_bytes)
    fold_operation(state, operation("vm.create", OperationState.FAILED))
    assert state.vm(VM_ID) is None


def test_vm_on_a_host_that_is_down_is_unknown_and_never_stopped(state: InventoryState) -> None:
    state.vm(VM_ID)
    state.set_view(view(HostStatus.DOWN, down_since=NOW))
    vm = state.vm(VM_ID)
    assert vm is not None
    assert (vm.state, vm.state_since, vm.reason) == (State.UNKNOWN, NOW, "the connection was lost")


def test_running_operation_is_shown_on_its_vm_with_its_transition(state: InventoryState) -> None:
    fold_operation(state, operation("vm.stop"))
    vm = state.vm(VM_ID)
    assert vm is not None
    assert vm.operation_id is not None
    assert vm.state is State.STOPPING
    fold_operation(state, operation("vm.stop", OperationState.SUCCEEDED))
    vm = state.vm(VM_ID)
    assert vm is not None
    assert (vm.operation_id, vm.state) == (None, State.RUNNING)


def test_address_is_shown_with_its_lease_while_the_vm_runs(state: InventoryState) -> None:
    assert state.set_addresses("h", {("default", "52:54:00:aa:bb:cc"): ("192.168.122.7",)}) == [VM_ID]
    assert state.set_addresses("h", {("default", "52:54:00:aa:bb:cc"): ("192.168.122.7",)}) == []
    vm = state.vm(VM_ID)
    assert vm is not None
    assert vm.nics[0].addresses == ["192.168.122.7"]
    state.set_known(KEY, KnownDomain(msgspec.structs.replace(FACTS, state=State.STOPPED), NOW, NOW))
    vm = state.vm(VM_ID)
    assert vm is not None
    assert vm.nics[0].addresses == []


def test_volume_shows_its_vm_and_small_growth_is_not_published(state: InventoryState) -> None:
    facts = VolumeFacts(
        pool="p",
        pool_uuid=str(uuid4()),
        name="web.qcow2",
        path="/x",
        size_bytes=1 << 30,
        allocated_bytes=50 << 20,
        format="qcow2",
    )
    changes = state.set_storage("h", [], [facts], NOW)
    assert ([volume.vm for volume in changes.volumes], changes.gone_volumes) == ([VM_ID], [])
    vm = state.vm(VM_ID)
    assert vm is not None
    assert vm.disks[0].size_bytes == 1 << 30
    little = msgspec.structs.replace(facts, allocated_bytes=facts.allocated_bytes + 4096)
    assert state.set_storage("h", [], [little], NOW).volumes == []
    much = msgspec.structs.replace(facts, allocated_bytes=100 << 20)
    assert len(state.set_storage("h", [], [much], NOW).volumes) == 1
    gone = state.set_storage("h", [], [], NOW).gone_volumes
    assert [volume.name for volume in gone] == ["web.qcow2"]


def test_volume_is_found_by_the_id_that_it_has_now(state: InventoryState) -> None:
    facts = [
        VolumeFacts(
            pool="p",
            pool_uuid=str(UUID(int=1)),
            name=name,
            path=f"/{name}",
            size_bytes=1,
            allocated_bytes=1,
            format="raw",
        )
        for name in ("a.raw", "b.raw")
    ]
    state.set_storage("h", [], facts, NOW)
    first, second = state.storage.volumes()
    assert state.storage.volume(second.id) == second
    row = VolumeRow(id="vol-1", host_id="h", pool="p", name=first.name, tenant="t", owner="ada", created_at=NOW)
    state.storage.fold_volume(row, gone=False)
    assert (state.storage.volume(first.id), state.storage.volume("vol-1") is not None) == (None, True), "adopted"
    state.storage.fold_volume(row, gone=True)
    found = state.storage.volume(first.id)
    assert found is not None
    assert (found.name, state.storage.volume("vol-1")) == (first.name, None), "released"
    state.set_storage("h", [], [facts[1]], NOW)
    assert state.storage.volume(first.id) is None


def test_guest_that_writes_a_header_takes_no_volume_of_others(state: InventoryState) -> None:
    """Its raw disk then looks like a qcow2 whose backing file is theirs."""
    facts = {
        name: VolumeFacts(
            pool="p",
            pool_uuid=str(UUID(int=1)),
            name=name,
            path=f"/p/{name}",
            size_bytes=1,
            allocated_bytes=1,
            format="qcow2" if name == "mine.raw" else "raw",
            backing_file="/p/theirs" if name == "mine.raw" else "",
        )
        for name in ("mine.raw", "theirs")
    }
    row = VolumeRow(
        id="vol-1", host_id="h", pool="p", name="mine.raw", tenant="blue", owner="bo", format="raw", created_at=NOW
    )
    disk = DiskFacts(target="vda", path="/p/mine.raw", pool="p", volume="mine.raw")
    state.set_known(KEY, KnownDomain(msgspec.structs.replace(FACTS, disks=(disk,)), NOW, NOW))
    for made_raw, user in ((False, VM_ID), (True, None)):
        if made_raw:
            state.storage.fold_volume(row, gone=False)
        state.set_storage("h", [], list(facts.values()), NOW)
        assert {v.name: v.vm for v in state.storage.volumes()} == {"mine.raw": VM_ID, "theirs": user}


def test_listing_compared_with_an_older_read_is_compared_again(state: InventoryState) -> None:
    """It is compared in a thread, and meanwhile another read may have come in."""

    def sized(size: int) -> VolumeFacts:
        return VolumeFacts(
            pool="p",
            pool_uuid=str(UUID(int=1)),
            name="a.raw",
            path="/a.raw",
            size_bytes=size,
            allocated_bytes=1,
            format="raw",
        )

    def sizes() -> list[int]:
        return [volume.size_bytes for volume in state.storage.volumes()]

    state.set_storage("h", [], [sized(1)], NOW)
    late = compare([sized(1)], state.storage.volume_facts_on("h"))
    assert late.unchanged == {("p", "a.raw")}
    state.set_storage("h", [], [sized(2)], NOW)
    assert sizes() == [2]
    state.set_storage("h", [], late, NOW)
    assert sizes() == [1], "what it was compared with is not what is shown"


class _Network:
    def __init__(self, name: str, bridge: str, leases: list[dict[str, str]]) -> None:
        self._name, self._bridge, self._leases = name, bridge, leases

    def name(self) -> str:
        return self._name

    def bridgeName(self) -> str:
        if not self._bridge:
            raise libvirt_error(libvirt.VIR_ERR_INTERNAL_ERROR, "network has no bridge")
        return self._bridge

    def DHCPLeases(self) -> list[dict[str, str]]:
        return self._leases


class _Connection:
    def listAllNetworks(self, _flags: int) -> list[_Network]:
        addresses = ("192.168.122.10", "192.168.122.9", "fe80::1")
        return [
            _Network("default", "virbr0", [{"mac": "52:54:00:AA:BB:CC", "ipaddr": address} for address in addresses]),
            _Network("lab", "", [{"mac": "52:54:00:aa:bb:cc", "ipaddr": "10.0.0.2"}]),
        ]


def test_leases_are_of_a_network_and_in_the_order_of_addresses() -> None:
    mac = "52:54:00:aa:bb:cc"
    first = ("192.168.122.9", "192.168.122.10", "fe80::1")
    expected = {("default", mac): first, ("virbr0", mac): first, ("lab", mac): ("10.0.0.2",)}
    assert read_addresses(_Connection()) == expected


def test_file_under_two_names_shows_its_vm_under_both() -> None:
    uuid, host = str(uuid4()), str(uuid4())
    storage = StorageState({}, {(host, VM_ID): KnownDomain(FACTS, NOW, None)}, {})
    pools = [
        PoolFacts(
            uuid=str(uuid4()),
            name=name,
            path=path,
            directory="/pool",
            active=True,
            capacity_bytes=1,
            allocated_bytes=1,
            available_bytes=1,
            type="dir",
        )
        for name, path in (("p", "/pool"), ("alias", "/pool.link"))
    ]
    volumes = [
        VolumeFacts(
            pool=pool.name,
            pool_uuid=uuid,
            name="web.qcow2",
            path=f"{pool.path}/web.qcow2",
            size_bytes=1,
            allocated_bytes=1,
            format="qcow2",
        )
        for pool in pools
    ]
    storage.replace(host, pools, volumes, NOW)
    assert {volume.pool: volume.vm for volume in storage.volumes()} == {"p": VM_ID, "alias": VM_ID}
    assert [pool.name for pool in storage.same_directory(host, "alias")] == ["p"]


def test_tier_of_a_volume_follows_its_pool_at_once() -> None:
    host, uuid = str(uuid4()), str(uuid4())
    storage = StorageState({}, {}, {})
    pool = PoolFacts(
        uuid=uuid, name="p", path="/p", active=True, capacity_bytes=1, allocated_bytes=1, available_bytes=1, type="dir"
    )
    volume = VolumeFacts(pool="p", pool_uuid=uuid, name="v", path="/p/v", size_bytes=1, allocated_bytes=1, format="raw")
    storage.replace(host, [pool], [volume], NOW)
    row = PoolRow(host_id=host, uuid=uuid, name="p", tier="cold", created_at=NOW)
    storage.fold_pool(row, gone=False)
    assert [v.tier for v in storage.volumes()] == ["cold"]
    storage.fold_pool(row, gone=True)
    assert [v.tier for v in storage.volumes()] == [None]


def test_operations_of_bulks_make_room_first() -> None:
    state = InventoryState()
    alone = operation("vm.start", OperationState.SUCCEEDED)
    state.put_operation(alone)
    for number in range(600):
        child = operation("vm.start", OperationState.SUCCEEDED)
        state.put_operation(msgspec.structs.replace(child, id=f"child-{number}", parent="bulk"))
    kept = [op.id for op in state.operations()]
    assert kept[0] == alone.id
    assert len(kept) == 500
