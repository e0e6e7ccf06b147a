"""Keeps the inventory state of one host current: reads it after hints, periodically, and after each reconnect."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import DomainFacts, Hint
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.change_events import host_change, storage_changes, vm_change, vm_refreshed
from novacron_server.inventory.compose import HostView, KnownDomain
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.state import InventoryState, Key
from novacron_server.inventory.state_waiters import StateWaiters
from novacron_server.inventory.volume_listing import compare
from novacron_server.places import for_everybody

_log = structlog.get_logger()
TICK_S = 10.0
"""Seconds between full reads, in case a hint was lost."""
VOLUMES_EVERY = 3
"""Ticks between reads of all pools and volumes."""
_MAX_VANISHED = 100
REFRESH_EVERY = 30
"""Ticks between pool refreshes, in which libvirt scans the directories for files created outside of it."""


class HostSync:
    """Synchronizes one host. `waiters` is notified of every VM read, so that operations can wait for a state; `on_domain`
    is called after every read of a VM, and with VMs that have a crash and no domain."""

    def __init__(
        self,
        host: LibvirtHost,
        state: InventoryState,
        publisher: Publisher,
        waiters: StateWaiters,
        *,
        tick_s: float = TICK_S,
        on_storage: Callable[[str], None] = lambda _: None,
        on_domain: Callable[[Key], None] = lambda _: None,
    ) -> None:
        self._on_storage = on_storage
        self._on_domain = on_domain
        self.host = host
        self._state = state
        self._publisher = publisher
        self._waiters = waiters
        self._tick_s = tick_s
        self._dirty: set[str] = set()
        self._all_dirty = True
        self._volumes_dirty = True
        self._refresh_volumes = False
        self._wake = asyncio.Event()
        self._is_first_read = True
        self._updates = 0
        self._updated: dict[str, int] = {}
        """VM → the number of its last update: which of two reads is newer is never asked of a wall clock."""
        self._sought: set[tuple[str, str]] = set()
        """(pool, name) of disks that libvirt had not listed as volumes when they were seen: it has scanned for them."""
        self._reboots: dict[str, int] = {}
        self._deaths: dict[str, int] = {}
        self._vanished: OrderedDict[str, DomainFacts] = OrderedDict()
        """The last facts of transient VMs that are gone: that the QEMU of one has died may be reported a little later."""
        self._volume_read_lock = asyncio.Lock()
        self._volume_reads_started = self._last_volume_read = 0
        self._down_since: datetime | None = None
        self.first_read_done = asyncio.Event()
        """Set once the host has been read, or is known to be down."""

    @property
    def was_read(self) -> bool:
        """Whether this server knows the host's VMs, as they are or were."""
        return not self._is_first_read

    # -- notifications -------------------------------------------------------------------------------------------

    def hint(self, hint: Hint) -> None:
        """Something may have changed: schedule a read."""
        if hint.kind == "domain" and hint.uuid:
            self._dirty.add(hint.uuid)
        elif hint.kind == "pool":
            self._volumes_dirty = True
        else:
            self._all_dirty = True
        self._wake.set()

    def status_changed(self) -> None:
        """The connection was established or lost: publish it immediately; after a connect, read everything."""
        before = self._state.views.get(self.host.host_id)
        self._update_host()
        if before and before.status is not self.host.status:
            self._forget_boot_times()
            self._republish_all()
            if self.host.status is not HostStatus.UP:
                self._publisher.publish(*storage_changes(self.host.host_id, self._state.host_lost(self.host.host_id)))
        if self.host.status is HostStatus.UP:
            self._all_dirty = self._volumes_dirty = True
        elif self.host.status is HostStatus.DOWN and before:  # on the first call no connection was attempted yet
            self.first_read_done.set()
        self._wake.set()

    # -- reading -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the inventory state current until cancelled."""
        ticks = 0
        while True:
            try:
                await self._read_dirty()
            except errors.NovaCronError as e:
                _log.warning("cannot read a host", host=self.host.name, reason=e.detail)
                self._all_dirty = self._volumes_dirty = True
            try:
                # After a failed read, wait for the tick or a reconnect, not for the dirty flags.
                async with asyncio.timeout(self._tick_s):
                    await self._wake.wait()
            except TimeoutError:
                ticks += 1
                self._all_dirty = True
                self._volumes_dirty |= ticks % VOLUMES_EVERY == 0
                self._refresh_volumes |= ticks % REFRESH_EVERY == 0
            self._wake.clear()

    async def _read_dirty(self) -> None:
        if self.host.status is not HostStatus.UP:
            return
        if self._all_dirty:
            self._all_dirty = False
            await self._read_all()
        while self._dirty:
            await self.refresh_vm(self._dirty.pop())
        if self._volumes_dirty:
            self._volumes_dirty = False
            await self.refresh_volumes()
        self.first_read_done.set()

    async def _read_all(self) -> None:
        await self.host.read_host()
        self._update_host()
        self._dirty.clear()
        began = self._updates
        deaths = Counter(self.host.deaths)  # what is read afterwards is newer than these
        domains = {facts.uuid: facts for facts in await self.host.read_domains()}
        known = {vm_id for host_id, vm_id in self._state.known if host_id == self.host.host_id}
        for vm_id in known | domains.keys():
            if self._updated.get(vm_id, 0) > began:
                continue  # read individually during the long read, so it is newer than this result
            self._update(vm_id, domains.get(vm_id), deaths[vm_id])
        for key in [key for key in self._state.crashes if key[0] == self.host.host_id and key[1] not in domains]:
            self._on_domain(key)
        self._updated = {vm_id: update for vm_id, update in self._updated.items() if vm_id in domains or update > began}
        if self._is_first_read:
            self._is_first_read = False
            self._republish(self._state.forget(self.host.host_id))
        self._republish(self._state.set_addresses(self.host.host_id, await self.host.read_addresses()))

    async def refresh_vm(self, vm_id: str) -> DomainFacts | None:
        """Read one domain now and publish its changes. Raises HostUnavailable."""
        deaths = self.host.deaths[vm_id]
        facts = await self.host.read_domain(vm_id)
        self._update(vm_id, facts, deaths)
        return facts

    async def refresh_volumes(self) -> None:
        """Read all pools and volumes now and publish the changes. Raises HostUnavailable.

        Callers that arrive during a read share the next one: its cost grows with the number of volumes, and twenty
        concurrent creations would otherwise wait for twenty reads.
        """
        started = self._volume_reads_started
        async with self._volume_read_lock:
            if self._last_volume_read > started:
                return
            self._volume_reads_started += 1
            number = self._volume_reads_started
            with for_everybody():
                await self._read_volumes()
            self._last_volume_read = number

    async def _read_volumes(self) -> None:
        host_id = self.host.host_id
        refresh, self._refresh_volumes = self._refresh_volumes, False
        problems: dict[str, str] = {}
        volumes = await self.host.storage.read_volumes(
            refresh=refresh and not self.host.simulated, wanted=self._state.storage.names_on(host_id), problems=problems
        )
        read = await self.host.storage.read_pools()
        pools = [msgspec.structs.replace(pool, problem=problems.get(pool.name, pool.problem)) for pool in read]
        # Comparing many thousands of volumes takes tens of milliseconds, in which no event would be sent.
        listing = await asyncio.to_thread(compare, volumes, self._state.storage.volume_facts_on(host_id))
        changes = self._state.set_storage(host_id, pools, listing, datetime.now(UTC))
        self._publisher.publish(*storage_changes(host_id, changes))
        if not changes.first:
            self._republish([vm_id for vm_id in changes.vms if (host_id, vm_id) in self._state.known])
        self._on_storage(host_id)

    def _update(self, vm_id: str, facts: DomainFacts | None, deaths: int) -> None:
        """Take a read of a VM. `deaths` is how often its QEMU was reported to have died when the read began."""
        key = (self.host.host_id, vm_id)
        held = self._state.known.get(key)
        before = held.facts if held else None
        now = datetime.now(UTC)
        self._updates += 1
        self._updated[vm_id] = self._updates
        rebooted = False
        shown = facts
        if facts is None:
            twins = self._state.set_known(key, None)
            if died := self._died(vm_id, before):
                before, shown = died, died.after_death()
                self._state.lose(key, KnownDomain(shown, now, now))
        else:
            self._deaths[vm_id] = deaths
            self._vanished.pop(vm_id, None)
            unchanged = before is not None and before.state is facts.state
            since = held.state_since if held and unchanged else (now if before is not None else None)
            booted_at = self._booted_at(held, facts, now)
            rebooted = before == facts and held is not None and held.booted_at != booted_at
            twins = self._state.set_known(key, KnownDomain(facts, now, since, booted_at))
        self._on_domain(key)
        row = self._state.rows.get(key)
        operation = self._state.running_on(vm_id)
        if draft := vm_change(
            self.host.host_id, before, shown, row, first_read=self._is_first_read, operation=operation
        ):
            self._publisher.publish(draft)
        if rebooted:
            self._republish([vm_id])
        for host_id in twins:
            self._republish_twin(host_id, vm_id)
        if facts is not None:
            self._seek_volumes(facts)
        if _files_of(before) != _files_of(facts):
            self._volumes_dirty = True  # volumes show which VM uses them
            self._wake.set()
        self._waiters.notify(vm_id, facts)

    def _booted_at(self, held: KnownDomain | None, facts: DomainFacts, now: datetime) -> datetime | None:
        """When the guest started or restarted last, as far as it was seen."""
        reboots = self.host.reboots[facts.uuid]
        rebooted = reboots > self._reboots.get(facts.uuid, 0)
        self._reboots[facts.uuid] = reboots
        if facts.is_off or facts.state is State.FAILED:
            return None
        was_off = held is not None and (held.facts.is_off or held.facts.state is State.FAILED)
        runs = {held.facts.run_id if held else None, facts.run_id} - {None}
        started = was_off or len(runs) == 2  # stopped and started between two reads
        return now if started or rebooted else held.booted_at if held else None

    def _died(self, vm_id: str, before: DomainFacts | None) -> DomainFacts | None:
        """The last facts of an unmanaged transient VM that is gone because its QEMU has died; None of any other."""
        if before is not None and not before.persistent and (self.host.host_id, vm_id) not in self._state.rows:
            self._vanished[vm_id] = before
            if len(self._vanished) > _MAX_VANISHED:
                self._vanished.popitem(last=False)
        if vm_id not in self._vanished or self.host.deaths[vm_id] == self._deaths.get(vm_id, 0):
            return None
        self._deaths[vm_id] = self.host.deaths[vm_id]
        return self._vanished.pop(vm_id)

    def restore_boot_time(self, vm_id: str, booted_at: datetime) -> None:
        """As in Inventory."""
        known = self._state.known.get((self.host.host_id, vm_id))
        if known is not None and known.booted_at is None:
            self._state.set_known((self.host.host_id, vm_id), replace(known, booted_at=booted_at))
            self._republish([vm_id])

    def _forget_boot_times(self) -> None:
        """What guests do while the host does not respond is not seen."""
        for key, known in list(self._state.known.items()):
            if key[0] == self.host.host_id and known.booted_at is not None:
                self._state.set_known(key, replace(known, booted_at=None))

    def _seek_volumes(self, facts: DomainFacts) -> None:
        """Have the pools scanned for disks that are not listed: others have made a snapshot, whose file is new."""
        storage = self._state.storage
        disks = {(disk.pool, disk.volume) for disk in facts.disks if disk.volume}
        new = {key for key in disks - self._sought if not storage.has_file(self.host.host_id, *key)}
        if new and storage.pools_on(self.host.host_id):
            self._sought |= new
            self._refresh_volumes = self._volumes_dirty = True
            self._wake.set()

    def _update_host(self) -> None:
        host = self.host
        if host.status is HostStatus.UP:
            self._down_since = None
        elif self._down_since is None:
            self._down_since = datetime.now(UTC)
        view = HostView(
            id=host.host_id,
            name=host.name,
            uri=host.uri,
            status=host.status,
            detail=host.detail,
            seen_at=host.seen_at,
            latency_ms=host.latency_ms,
            facts=host.facts,
            down_since=self._down_since,
        )
        if draft := host_change(self._state.views.get(view.id), view):
            self._publisher.publish(draft)
        self._state.set_view(view)

    def _republish_all(self) -> None:
        vm_ids = [vm_id for host_id, vm_id in self._state.known if host_id == self.host.host_id]
        self._republish(vm_ids, f"host {self.host.status}")

    def _republish_twin(self, host_id: str, vm_id: str) -> None:
        """Publish the VM with the same UUID on another host: whether it can be changed depends on this one."""
        row = self._state.rows.get((host_id, vm_id))
        name = self._state.known[host_id, vm_id].facts.name
        self._publisher.publish(vm_refreshed(host_id, vm_id, name, row.tenant if row else None, "shared UUID"))

    def _republish(self, vm_ids: list[str], note: str = "") -> None:
        """Publish these VMs again: they did not change, but the information about them did."""
        for vm_id in vm_ids:
            key = (self.host.host_id, vm_id)
            row, known = self._state.rows.get(key), self._state.known.get(key)
            name = known.facts.name if known else row.name if row else ""
            self._publisher.publish(vm_refreshed(self.host.host_id, vm_id, name, row.tenant if row else None, note))


def _files_of(facts: DomainFacts | None) -> tuple[object, ...]:
    """What a VM uses of its host's storage."""
    if facts is None:
        return ()
    disks = (*facts.disks, *facts.later_disks)
    files = tuple((disk.path, disk.pool, disk.volume, disk.backing_file) for disk in disks)
    return (facts.kernel, facts.initrd, *files) if files or facts.kernel else ()
