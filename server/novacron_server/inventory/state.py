"""The inventory state: facts from libvirt and rows from events, composed into API values on demand and cached.

Facts are updated as soon as they are read; rows change only in `fold`, in outbox order. So the state that a reader gets
is never older than the last event it has received.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import structlog

from novacron_core.api.hosts import Host as APIHost
from novacron_core.api.hosts import HostStatus
from novacron_core.api.nouns import HOSTS, NOUNS, OPERATIONS, POOLS, TIERS, VMS, VOLUMES, Nouns
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import VM
from novacron_core.api.volumes import HIDDEN_VM, Volume
from novacron_core.rules.host_reasons import public_reason
from novacron_core.rules.visibility import SHARED, Principal, may_see, may_see_vm, readable_operation
from novacron_core.values.texts import without_paths
from novacron_server.hypervisor.facts import PoolFacts, VolumeFacts
from novacron_server.hypervisor.networks.leases import Addresses
from novacron_server.inventory.compose import HostView, KnownDomain, compose_host, compose_vm
from novacron_server.inventory.compose_storage import RatesOf, without_pool_path
from novacron_server.inventory.rows import CrashRow, PoolRow, VMRow, VolumeRow
from novacron_server.inventory.storage_changes import StorageChanges
from novacron_server.inventory.storage_state import ManagedTier, StorageState
from novacron_server.inventory.tables import NounTable, RowTable, Visible
from novacron_server.inventory.volume_listing import VolumeListing
from novacron_server.outbox.records import EventRecord

Key = tuple[str, str]
"""(host id, VM id)."""
CRASH = "crash"
"""The key of a crash's row, None when it is over, in the `row` of an event about its VM."""
_MAX_ENDED_OPERATIONS = 500
_log = structlog.get_logger()


class InventoryState:
    """The current state of all objects. Used from one asyncio loop; no method awaits."""

    def __init__(
        self,
        managed_tier: ManagedTier = lambda _host, _uuid: None,
        rates_of: RatesOf = lambda _disks: None,
        nouns: Nouns = NOUNS,
    ) -> None:
        """`managed_tier` returns the tier of a managed pool, `rates_of` the current rates of disks. A noun that is not
        composed from facts is kept as its rows."""
        self.nouns = nouns
        self.seq = 0
        self.views: dict[str, HostView] = {}
        self.known: dict[Key, KnownDomain] = {}
        self.rows: dict[Key, VMRow] = {}
        self.crashes: dict[Key, CrashRow] = {}
        """The last crash of each VM that has not run since, managed or not."""
        self.lost: dict[Key, KnownDomain] = {}
        """Transient VMs that have crashed, and that libvirt has forgotten, until their crash is acknowledged."""
        self._remembered: dict[Key, KnownDomain] = {}
        self._barriers: list[tuple[int, asyncio.Future[None]]] = []
        self._operations: dict[str, Operation] = {}
        self._running: dict[str, Operation] = {}
        self._composed: dict[Key, VM | None] = {}
        self._hosts_of: dict[str, list[str]] = {}
        self._addresses: dict[str, Addresses] = {}
        self.storage = StorageState(self.views, self.known, self._running, managed_tier, rates_of)
        composed: dict[str, NounTable] = {
            VMS.type: _VMs(self),
            HOSTS.type: _Hosts(self),
            VOLUMES.type: _Volumes(self),
            POOLS.type: _Pools(self),
            TIERS.type: _Tiers(self),
            OPERATIONS.type: _Operations(self),
        }
        self.tables: dict[str, NounTable] = {noun.type: composed.get(noun.type) or RowTable(noun) for noun in nouns}

    # -- reading ----------------------------------------------------------------------------------------------------

    def vms(self) -> Iterator[VM]:
        """Every VM, in no particular order."""
        for key in {**self.known, **self.lost, **self.rows}:
            if vm := self._composed.get(key) or self.composed(key):
                yield vm

    def vm(self, vm_id: str) -> VM | None:
        """One VM by its id, None if there is none; if several hosts have it, the one read first."""
        return next(self.vms_with(vm_id), None)

    def vms_with(self, vm_id: str) -> Iterator[VM]:
        """Every VM with this id: more than one if hosts share a UUID."""
        composed = (self.composed((host_id, vm_id)) for host_id in self._hosts_of.get(vm_id, []))
        return (vm for vm in composed if vm)

    def composed(self, key: Key) -> VM | None:
        """The VM at this key, cached until something about it changes."""
        if key not in self._composed:
            self._composed[key] = self._compose(key)
        return self._composed[key]

    def _compose(self, key: Key) -> VM | None:
        view = self.views.get(key[0])
        if view is None:
            return None
        return compose_vm(
            view,
            self.domain(key) or self._remembered.get(key),
            self.rows.get(key),
            self._running.get(key[1]),
            self.storage.volumes_on(key[0]),
            self._addresses.get(key[0], {}),
            self._other_hosts(key) if key in self.known else [],
            self.crashes.get(key),
        )

    def domain(self, key: Key) -> KnownDomain | None:
        """What was read of a VM last, also of one that is lost."""
        return self.known.get(key) or self.lost.get(key)

    def _other_hosts(self, key: Key) -> list[str]:
        """The other hosts on which libvirt has a VM with the same id."""
        return [h for h in self._hosts_of.get(key[1], []) if h != key[0] and (h, key[1]) in self.known]

    def responds(self, host_id: str) -> bool:
        """Whether a host responds now."""
        view = self.views.get(host_id)
        return view is not None and view.status is HostStatus.UP

    def hosts(self) -> Iterator[APIHost]:
        return (compose_host(view) for view in self.views.values())

    def operations(self) -> Iterable[Operation]:
        """The running operations, and the last few hundred ended ones."""
        return self._operations.values()

    def operation(self, operation_id: str) -> Operation | None:
        """One of these operations, None if it is not among them."""
        return self._operations.get(operation_id)

    def operation_on(self, thing: VM | Volume) -> Operation | None:
        """The operation that runs on a VM or volume."""
        return self._operations.get(thing.operation_id) if thing.operation_id else None

    def running_on(self, target_id: str) -> Operation | None:
        """The operation that has not ended on the target with this id."""
        return self._running.get(target_id)

    def running(self) -> int:
        """How many operations have not ended."""
        return len({operation.id for operation in self._running.values()})

    # -- facts from libvirt, updated immediately --------------------------------------------------------------------

    def set_view(self, view: HostView) -> None:
        before = self.views.get(view.id)
        self.views[view.id] = view
        if before is None or before.status is not view.status or before.simulated != view.simulated:
            self._invalidate_host(view.id)

    def set_known(self, key: Key, known: KnownDomain | None) -> list[str]:
        """Store the result of one read of a domain; None: it does not exist.

        Returns the other hosts whose VM with the same id must be published again: it gained or lost a twin.
        """
        appeared_or_disappeared = (key in self.known) is (known is None)
        if known is None:
            self.known.pop(key, None)
        else:
            self.known[key] = known
            self.lost.pop(key, None)
            self._add_host(key)
        self._composed.pop(key, None)
        if not appeared_or_disappeared:
            return []
        self.invalidate(key[1])
        return self._other_hosts(key)

    def lose(self, key: Key, lost: KnownDomain) -> None:
        """Show a transient VM whose crash is all that is left of it, until the crash is over."""
        self.lost[key] = lost
        self._add_host(key)
        self._composed.pop(key, None)

    def remember(self, key: Key, known: KnownDomain) -> None:
        """Show what an earlier server read of a managed VM, until `forget` is called for its host."""
        self._remembered[key] = known

    def forget(self, host_id: str) -> list[str]:
        """The host was read: forget what earlier servers read. Returns the ids of its VMs, to be published again."""
        forgotten = [key for key in self._remembered if key[0] == host_id]
        for key in forgotten:
            del self._remembered[key]
            self._composed.pop(key, None)
        return [vm_id for _, vm_id in forgotten]

    def _add_host(self, key: Key) -> None:
        hosts = self._hosts_of.setdefault(key[1], [])
        if key[0] not in hosts:
            hosts.append(key[0])

    def set_addresses(self, host_id: str, addresses: Addresses) -> list[str]:
        """Store the addresses of a host's guests. Returns the ids of the VMs whose addresses changed."""
        before, self._addresses[host_id] = self._addresses.get(host_id, {}), addresses
        changed = []
        for (host, vm_id), known in self.known.items():
            keys = [(nic.network, nic.mac.lower()) for nic in known.facts.nics] if host == host_id else []
            if any(before.get(key) != addresses.get(key) for key in keys):
                self.invalidate(vm_id)
                changed.append(vm_id)
        return changed

    def set_storage(
        self,
        host_id: str,
        pools: Iterable[PoolFacts],
        volumes: Iterable[VolumeFacts] | VolumeListing,
        seen_at: datetime,
    ) -> StorageChanges:
        """Store all pools and volumes of a host. Returns the changes to publish."""
        changes = self.storage.replace(host_id, pools, volumes, seen_at)
        for vm_id in changes.vms:
            self.invalidate(vm_id)
        return changes

    def host_lost(self, host_id: str) -> StorageChanges:
        """A host does not respond any more: what is free on it is unknown. Returns the changes to publish."""
        return self.storage.host_lost(host_id)

    # -- rows from the database, updated as events arrive -----------------------------------------------------------

    def load(
        self,
        vms: Iterable[VMRow],
        volumes: Iterable[VolumeRow],
        operations: Iterable[Operation],
        seq: int,
        pools: Iterable[PoolRow] = (),
        values: Mapping[str, Iterable[Visible]] | None = None,
        crashes: Iterable[CrashRow] = (),
    ) -> None:
        """Initialize the state from the tables as of `seq`. `values` holds, by noun type, those of the nouns that are
        kept as their rows."""
        for row in vms:
            self._put_row(row)
        for crash in crashes:
            self.crashes[crash.host_id, crash.vm_id] = crash
            if crash.facts is not None:
                self.lose((crash.host_id, crash.vm_id), KnownDomain(crash.facts, crash.found_at, crash.at))
        self.storage.load(volumes, pools)
        for operation in operations:
            self.put_operation(operation)
        for noun_type, rows in (values or {}).items():
            table = self.tables[noun_type]
            assert isinstance(table, RowTable), f"{noun_type} is composed, not kept as its rows"
            table.load(rows)
        self.seq = seq

    def fold(self, record: EventRecord) -> None:
        """Apply the row change that an event carries, if any."""
        self.seq = record.seq
        table = self.tables.get(record.target.type)
        if table is not None:
            try:
                table.fold(record)
            except msgspec.ValidationError as e:  # one row that cannot be read must not stop the stream
                _log.error("unreadable row", target=record.target.type, id=record.target.id, reason=str(e))
        if self._barriers:
            self._open_barriers()

    async def barrier(self, seq: int) -> None:
        """Wait until the event with this number, and with it every row of its transaction, has been folded."""
        if self.seq >= seq:
            return
        folded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._barriers.append((seq, folded))
        await folded

    def _open_barriers(self) -> None:
        waiting, self._barriers = self._barriers, []
        for seq, folded in waiting:
            if seq > self.seq:
                self._barriers.append((seq, folded))
            elif not folded.done():
                folded.set_result(None)

    def fold_vm(self, record: EventRecord) -> None:
        if record.row is not None and CRASH in record.row:
            self._fold_crash((record.source, record.target.id), record.row[CRASH])
        elif record.row is not None and record.gone:
            self.rows.pop((record.row["host_id"], record.target.id), None)
        elif record.row is not None:
            self._put_row(msgspec.convert(record.row, VMRow))
        self.invalidate(record.target.id)

    def _fold_crash(self, key: Key, row: dict[str, Any] | None) -> None:
        if row is None:
            self.crashes.pop(key, None)
            self.lost.pop(key, None)
        else:
            self.crashes[key] = msgspec.convert(row, CrashRow)

    def fold_volume(self, record: EventRecord) -> None:
        self.storage.fold_volume(msgspec.convert(record.row, VolumeRow), gone=record.gone)
        volume = self.storage.volume(record.target.id)
        if volume and volume.vm:
            self.invalidate(volume.vm)

    def _put_row(self, row: VMRow) -> None:
        key = (row.host_id, row.id)
        self.rows[key] = row
        self._add_host(key)
        self._composed.pop(key, None)

    def put_operation(self, operation: Operation) -> None:
        self._operations.pop(operation.id, None)
        self._operations[operation.id] = operation
        target_ids = [target.id for target in (operation.target, *operation.locks)]
        for target_id in target_ids:
            running = self._running.get(target_id)
            if not operation.state.ended:
                self._running[target_id] = operation
            elif running and running.id == operation.id:
                del self._running[target_id]
            self.invalidate(target_id)
        if operation.state.ended:
            self.storage.operation_files.remove(operation.id)
        self.storage.operation_changed(target_ids)
        self._drop_old_operations()

    def _drop_old_operations(self) -> None:
        while len(self._operations) - len(self._running) > _MAX_ENDED_OPERATIONS:
            ended = [key for key, operation in self._operations.items() if operation.state.ended]
            # Those of bulks first: a bulk stands for them, and thousands would push out what others did.
            del self._operations[next((key for key in ended if self._operations[key].parent), ended[0])]

    def invalidate(self, vm_id: str) -> None:
        """Invalidate the cached value of this VM."""
        for host_id in self._hosts_of.get(vm_id, []):
            self._composed.pop((host_id, vm_id), None)

    def _invalidate_host(self, host_id: str) -> None:
        for key in [key for key in self._composed if key[0] == host_id]:
            del self._composed[key]


class _Table:
    """A noun that is composed from facts and rows."""

    limited = False

    def __init__(self, state: InventoryState) -> None:
        self._state = state

    def member_view(self, reader: Principal) -> Callable[[Any], Any]:
        return lambda value: value

    def _seen_volumes(self, reader: Principal) -> Iterator[Volume]:
        """The volumes of tenants that a reader may know of, as `subjects.sees` decides it."""
        for volume in self._state.storage.tenants_volumes():
            if not may_see(reader, volume.tenant):
                continue
            vm = self._state.composed((volume.host, volume.vm)) if volume.vm else None
            if not reader.vm_filter or (vm is not None and may_see_vm(reader, vm)):
                yield volume

    def fold(self, record: EventRecord) -> None:
        """It has no rows."""


class _VMs(_Table):
    def all(self) -> Iterable[Visible]:
        return ((vm.tenant, vm) for vm in self._state.vms())

    def value(self, record: EventRecord) -> Visible:
        vm = self._state.composed((record.source, record.target.id))  # a VM's events come from its host
        return (vm.tenant if vm else record.tenant), vm

    def fold(self, record: EventRecord) -> None:
        self._state.fold_vm(record)


class _Hosts(_Table):
    limited = True

    def member_view(self, reader: Principal) -> Callable[[APIHost], APIHost]:
        """Without its URI: where a host is reached, and as whom, is for administrators."""

        return lambda value: msgspec.structs.replace(value, uri="", detail=public_reason(value.detail))

    def all(self) -> Iterable[Visible]:
        return ((SHARED, host) for host in self._state.hosts())

    def value(self, record: EventRecord) -> Visible:
        view = self._state.views.get(record.target.id)
        return SHARED, compose_host(view) if view else None


class _Volumes(_Table):
    limited = True

    def all(self) -> Iterable[Visible]:
        return ((volume.tenant, volume) for volume in self._state.storage.volumes())

    def value(self, record: EventRecord) -> Visible:
        volume = self._state.storage.volume(record.target.id)
        return (volume.tenant if volume else record.tenant), volume

    def member_view(self, reader: Principal) -> Callable[[Volume], Volume]:
        """Without the id of a VM of another tenant, and without paths of the host."""

        def shown(value: Volume) -> Volume:
            vm = self._state.composed((value.host, value.vm)) if value.vm else None
            hidden = vm is not None and vm.tenant != value.tenant
            note = without_paths(value.note)
            return msgspec.structs.replace(value, vm=HIDDEN_VM if hidden else value.vm, note=note)

        return shown

    def fold(self, record: EventRecord) -> None:
        if record.row is not None:
            self._state.fold_volume(record)


class _Pools(_Table):
    limited = True

    def member_view(self, reader: Principal) -> Callable[[Pool], Pool]:
        """With the number of volumes that the reader sees, and without its path: where files are on a host is for
        administrators."""
        in_pool = Counter((each.host, each.pool) for each in self._seen_volumes(reader))

        def shown(value: Pool) -> Pool:
            problem = without_pool_path(value.problem, value.path)
            return msgspec.structs.replace(value, path="", problem=problem, volumes=in_pool[value.host, value.name])

        return shown

    def all(self) -> Iterable[Visible]:
        return ((SHARED, pool) for pool in self._state.storage.pools())

    def value(self, record: EventRecord) -> Visible:
        return SHARED, self._state.storage.pool(record.target.id)

    def fold(self, record: EventRecord) -> None:
        if record.row is not None:
            self._state.storage.fold_pool(msgspec.convert(record.row, PoolRow), gone=record.gone)


class _Tiers(_Table):
    limited = True

    def member_view(self, reader: Principal) -> Callable[[Tier], Tier]:
        """With the number, sizes and rates of the volumes that the reader sees, and without the paths of pools."""
        of_tier: dict[str | None, list[Volume]] = defaultdict(list)
        for volume in self._seen_volumes(reader):
            of_tier[volume.tier].append(volume)

        def shown(value: Tier) -> Tier:
            notes = value.notes
            for pool in self._state.storage.pools() if notes else ():
                notes = [without_pool_path(note, pool.path) for note in notes]
            notes = [without_paths(note) for note in notes]
            seen = self._state.storage.tier_of_volumes(value, of_tier[value.name])
            return msgspec.structs.replace(seen, notes=notes)

        return shown

    def all(self) -> Iterable[Visible]:
        return ((SHARED, tier) for tier in self._state.storage.tiers())

    def value(self, record: EventRecord) -> Visible:
        return SHARED, self._state.storage.tier(record.target.id)


class _Operations(_Table):
    limited = True

    def member_view(self, reader: Principal) -> Callable[[Any], Operation]:
        """Without the paths of the host that its problem and step name. An event's value is the row that it carries."""
        return lambda value: readable_operation(reader, msgspec.convert(value, Operation))

    def all(self) -> Iterable[Visible]:
        return ((operation.tenant, operation) for operation in self._state.operations())

    def value(self, record: EventRecord) -> Visible:
        return record.tenant, record.row

    def fold(self, record: EventRecord) -> None:
        if record.row is not None:
            self._state.put_operation(msgspec.convert(record.row, Operation))
