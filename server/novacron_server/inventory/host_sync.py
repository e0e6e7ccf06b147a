"""Keeps the picture of one host true: re-reads what libvirt hints at, everything now and then and after a break."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from novacron_core import errors
from novacron_core.api.hosts import HostStatus
from novacron_server.hypervisor.facts import DomainFacts, Hint
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.change_events import host_change, storage_changes, vm_change, vm_refreshed
from novacron_server.inventory.compose import HostView, KnownDomain
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.state_waiters import StateWaiters

_log = structlog.get_logger()
TICK_S = 10.0
"""A full re-read, in case a hint was lost."""
VOLUMES_EVERY = 3
"""Ticks between two reads of all pools and volumes."""
REFRESH_EVERY = 30
"""Ticks between two times that libvirt looks at its pools' directories again, for files that came behind its back."""


class HostSync:
    """One host's keeper. `watch` is told of every VM that was looked at, so that operations can wait for a state."""

    def __init__(
        self,
        host: LibvirtHost,
        state: InventoryState,
        publisher: Publisher,
        watch: StateWaiters,
        *,
        tick_s: float = TICK_S,
        on_storage: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._on_storage = on_storage
        self.host = host
        self._state = state
        self._publisher = publisher
        self._watch = watch
        self._tick_s = tick_s
        self._dirty: set[str] = set()
        self._all_dirty = True
        self._volumes_dirty = True
        self._refresh_volumes = False
        self._wake = asyncio.Event()
        self._first_look = True
        self._one_volume_read = asyncio.Lock()
        self._volume_reads_begun = self._volume_read_done = 0
        self._down_since: datetime | None = None
        self.looked = asyncio.Event()
        """Set once the host was read, or is known not to answer."""

    # -- what it is told -----------------------------------------------------------------------------------------

    def hint(self, hint: Hint) -> None:
        """Something may have changed: read it again soon."""
        if hint.kind == "domain" and hint.uuid:
            self._dirty.add(hint.uuid)
        elif hint.kind == "pool":
            self._volumes_dirty = True
        else:
            self._all_dirty = True
        self._wake.set()

    def status_changed(self) -> None:
        """The connection came or went: show it at once, read everything when it came."""
        was = self._state.views.get(self.host.host_id)
        self._show_host()
        if was and was.status is not self.host.status:
            self._touch_all()
        if self.host.status is HostStatus.UP:
            self._all_dirty = self._volumes_dirty = True
        elif self.host.status is HostStatus.DOWN and was:  # the first time nobody has tried yet
            self.looked.set()
        self._wake.set()

    # -- what it does --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the picture true for ever. Cancel to stop."""
        ticks = 0
        while True:
            try:
                await self._catch_up()
            except errors.NovaCronError as e:
                _log.warning("re-reading a host failed", host=self.host.name, reason=e.detail)
                self._all_dirty = self._volumes_dirty = True
            try:
                # A failed round waits for the tick or the connection, not for its own dirty marks.
                async with asyncio.timeout(self._tick_s):
                    await self._wake.wait()
            except TimeoutError:
                ticks += 1
                self._all_dirty = True
                self._volumes_dirty |= ticks % VOLUMES_EVERY == 0
                self._refresh_volumes |= ticks % REFRESH_EVERY == 0
            self._wake.clear()

    async def _catch_up(self) -> None:
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
        self.looked.set()

    async def _read_all(self) -> None:
        await self.host.read_host()
        self._show_host()
        self._dirty.clear()
        began = datetime.now(UTC)
        domains = {facts.uuid: facts for facts in await self.host.read_domains()}
        known = {vm_id for host_id, vm_id in self._state.known if host_id == self.host.host_id}
        for vm_id in known | domains.keys():
            held = self._state.known.get((self.host.host_id, vm_id))
            if held and held.seen_at > began:
                continue  # read by itself while the long read ran: newer than this answer
            self._take(vm_id, domains.get(vm_id))
        self._first_look = False
        self._touch(self._state.set_addresses(self.host.host_id, await self.host.read_addresses()))

    async def refresh_vm(self, vm_id: str) -> DomainFacts | None:
        """Read one domain now and publish what changed. Raises HostUnavailable."""
        facts = await self.host.read_domain(vm_id)
        self._take(vm_id, facts)
        return facts

    async def refresh_volumes(self) -> None:
        """Read all pools and volumes now and publish what changed. Raises HostUnavailable.

        Who asks while a read is under way shares the next one: it costs as much as there are volumes, and twenty
        creations at once would otherwise wait for twenty of them.
        """
        asked = self._volume_reads_begun
        async with self._one_volume_read:
            if self._volume_read_done > asked:
                return
            self._volume_reads_begun += 1
            number = self._volume_reads_begun
            await self._read_volumes()
            self._volume_read_done = number

    async def _read_volumes(self) -> None:
        host_id = self.host.host_id
        refresh, self._refresh_volumes = self._refresh_volumes, False
        volumes = await self.host.storage.read_volumes(refresh=refresh and not self.host.simulated)
        pools = await self.host.storage.read_pools()
        changes = self._state.take_storage(host_id, pools, volumes, datetime.now(UTC))
        self._publisher.publish(*storage_changes(host_id, changes))
        if not changes.first:
            self._touch([vm_id for vm_id in changes.vms if (host_id, vm_id) in self._state.known])
        self._on_storage(host_id)

    def _take(self, vm_id: str, facts: DomainFacts | None) -> None:
        key = (self.host.host_id, vm_id)
        held = self._state.known.get(key)
        before = held.facts if held else None
        now = datetime.now(UTC)
        if facts is None:
            twins = self._state.set_known(key, None)
        else:
            unchanged = before is not None and before.state is facts.state
            since = held.state_since if held and unchanged else (now if before is not None else None)
            twins = self._state.set_known(key, KnownDomain(facts, now, since))
        row = self._state.rows.get(key)
        if draft := vm_change(self.host.host_id, before, facts, row, first_look=self._first_look):
            self._publisher.publish(draft)
        for host_id in twins:
            self._tell_twin(host_id, vm_id)
        self._watch.looked_at(vm_id, facts)

    def _show_host(self) -> None:
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

    def _touch_all(self) -> None:
        ours = [vm_id for host_id, vm_id in self._state.known if host_id == self.host.host_id]
        self._touch(ours, f"host {self.host.status}")

    def _tell_twin(self, host_id: str, vm_id: str) -> None:
        """The VM of the same UUID on another host: whether it can be changed depends on this one's being there."""
        row = self._state.rows.get((host_id, vm_id))
        name = self._state.known[host_id, vm_id].facts.name
        self._publisher.publish(vm_refreshed(host_id, vm_id, name, row.tenant if row else None, "shared UUID"))

    def _touch(self, vm_ids: list[str], note: str = "") -> None:
        """Tell these VMs again: not they changed, but what is known of them."""
        for vm_id in vm_ids:
            key = (self.host.host_id, vm_id)
            row = self._state.rows.get(key)
            name = self._state.known[key].facts.name
            self._publisher.publish(vm_refreshed(self.host.host_id, vm_id, name, row.tenant if row else None, note))
