"""The inventory: hosts, their synchronization and the inventory state; the interface for the services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from novacron_core import errors
from novacron_core.api.hosts import Host as APIHost
from novacron_core.api.hosts import HostStatus
from novacron_core.api.nouns import HOSTS, POOLS, TIERS, VOLUMES
from novacron_core.api.pools import Pool
from novacron_core.api.problem import FieldError
from novacron_core.api.samples import VMSample
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.vms import vm_fields
from novacron_core.rules.host_reasons import public_reason
from novacron_core.rules.visibility import SHARED, Principal, may_see, may_see_vm, sees_everything
from novacron_server.hypervisor.connection.session import Override
from novacron_server.hypervisor.facts import DomainFacts, Hint
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.host_sync import HostSync
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.rows import HostRow
from novacron_server.inventory.signal import Signal
from novacron_server.inventory.state import InventoryState, Key
from novacron_server.inventory.state_waiters import Condition, StateWaiters
from novacron_server.inventory.subjects import host_names, host_word, sees
from novacron_server.inventory.tables import shown_to
from novacron_server.places import Places

_FOLD_TIMEOUT_S = 5.0
FIRST_READ_TIMEOUT_S = 3.0
"""How long after its start a server lets clients wait for hosts that it has not read yet."""


class Inventory:
    """Created once by the app."""

    def __init__(
        self,
        state: InventoryState,
        publisher: Publisher,
        hosts: list[HostRow],
        *,
        virtualization: str = "",
        simulate_load: bool = False,
        sample_of: Callable[[VM], VMSample | None] = lambda vm: None,
    ) -> None:
        """`simulate_load`: all hosts are those of a demo, see LibvirtHost. `sample_of` returns a VM's latest sample, for filters like `cpu>80`."""
        self.state = state
        self.publisher = publisher
        self.storage_read: Signal[str] = Signal()
        """Emits a host's id after each read of its storage."""
        self.domain_read: Signal[Key] = Signal()
        """Emits (host id, VM id) after each read of a VM."""
        self._waiters = StateWaiters()
        self._virtualization: Override = "kvm" if virtualization == "kvm" else "qemu" if virtualization else None
        self._simulate_load = simulate_load
        self._sample_of = sample_of
        self._syncs = {row.id: self._create_sync(row) for row in hosts}
        self._places: dict[str, Places] = {}
        self._started_at = time.monotonic()

    def _create_sync(self, row: HostRow) -> HostSync:
        host = LibvirtHost(
            row.id,
            row.uri,
            on_hint=self._pass_hint,
            on_status=self._status_changed,
            virtualization=self._virtualization,
            simulate_load=self._simulate_load,
        )
        return HostSync(
            host,
            self.state,
            self.publisher,
            self._waiters,
            on_storage=self.storage_read.emit,
            on_domain=self.domain_read.emit,
        )

    def _pass_hint(self, hint: Hint) -> None:
        self._syncs[hint.host_id].hint(hint)

    def _status_changed(self, host: LibvirtHost) -> None:
        self._syncs[host.host_id].status_changed()

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """The background tasks of the inventory, as (name, coroutine function) pairs."""
        publish: tuple[str, Callable[[], Coroutine[Any, Any, None]]] = ("event publisher", self.publisher.run)
        # By id, because everybody who is signed in reads which tasks fail, and a URI is for administrators.
        return [publish, *((f"sync of host {host_id}", sync.run) for host_id, sync in self._syncs.items())]

    async def open(self) -> None:
        """Connect to all hosts concurrently; a host that is down delays the others only briefly."""
        for sync in self._syncs.values():
            sync.status_changed()
        await asyncio.gather(*(sync.host.open() for sync in self._syncs.values()))

    async def wait_for_first_read(self) -> None:
        """Wait briefly after the start until every host has been read or does not respond. Otherwise reconnecting
        clients would be sent hosts without VMs, and would lose their cursors and marks."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._started_at + FIRST_READ_TIMEOUT_S - time.monotonic())):
                for sync in self._syncs.values():
                    await sync.first_read_done.wait()

    async def close(self) -> None:
        await asyncio.gather(*(sync.host.close() for sync in self._syncs.values()))

    # -- for readers: filtered by may_see ----------------------------------------------------------------------------

    def vms(self, principal: Principal) -> Iterator[VM]:
        every = self.state.vms()
        return every if sees_everything(principal) else (vm for vm in every if may_see_vm(principal, vm))

    def matching(self, principal: Principal, q: str) -> Iterator[VM]:
        """The VMs that match a filter. Raises ValidationFailed for an invalid filter."""
        if not q:
            return self.vms(principal)
        try:
            test = compile_filter(q, vm_fields(host_names(principal, self.state), self._sample_of))
        except FilterError as e:
            raise errors.ValidationFailed(f"q: {e}", fields=[FieldError(field="q", message=str(e))]) from e
        return filter(test, self.vms(principal))

    def vm(self, principal: Principal, vm_id: str) -> VM:
        """Raises NotFound, with the same message for another tenant's VM as for a missing one; HostUnavailable while it is
        not known yet whether there is such a VM: after a restart of the server, until its host was read."""
        vm = next((vm for vm in self.state.vms_with(vm_id) if may_see_vm(principal, vm)), None)
        if vm is None:
            self._require_read(principal, vm_id)
            raise errors.NotFound("VM not found")
        return vm

    def shows(self, principal: Principal, key: Key) -> bool:
        """Whether the principal may see the VM at this key now."""
        vm = self.state.composed(key)
        return vm is not None and may_see_vm(principal, vm)

    def _require_read(self, principal: Principal, vm_id: str) -> None:
        """Raises HostUnavailable for a host that may have this VM and was never read by this server. One that is known to
        be down may have those of its rows: what else is there is not waited for."""
        for host_id, sync in self._syncs.items():
            if sync.was_read:
                continue
            row = self.state.rows.get((host_id, vm_id))
            if not sync.first_read_done.is_set() or (row is not None and may_see_vm(principal, row)):
                raise errors.HostUnavailable(f"{host_word(sync.host.name)} has not been read yet", retry_after_s=1)

    def hosts(self, principal: Principal) -> Iterator[APIHost]:
        shown = shown_to(principal, self.state.tables[HOSTS.type])
        return (shown(host) for host in self.state.hosts() if may_see(principal, SHARED))

    def volumes(self, principal: Principal) -> Iterator[Volume]:
        seen = (volume for volume in self.state.storage.volumes() if self._sees(principal, volume))
        return (self._shown(principal, volume) for volume in seen)

    def volume(self, principal: Principal, volume_id: str) -> Volume:
        """Raises NotFound, with the same message for another tenant's volume as for a missing one."""
        volume = self.state.storage.volume(volume_id)
        if volume is None or not self._sees(principal, volume):
            raise errors.NotFound("volume not found")
        return self._shown(principal, volume)

    def _sees(self, principal: Principal, volume: Volume) -> bool:
        return sees(principal, self.state, VOLUMES.type, volume.tenant, volume)

    def _shown(self, principal: Principal, volume: Volume) -> Volume:
        shown: Volume = shown_to(principal, self.state.tables[VOLUMES.type])(volume)
        return shown

    def pools(self, principal: Principal) -> Iterator[Pool]:
        shown = shown_to(principal, self.state.tables[POOLS.type])
        return (shown(pool) for pool in self.state.storage.pools() if may_see(principal, SHARED))

    def tiers(self, principal: Principal) -> list[Tier]:
        shown = shown_to(principal, self.state.tables[TIERS.type])
        return [shown(tier) for tier in self.state.storage.tiers() if may_see(principal, SHARED)]

    # -- for services ------------------------------------------------------------------------------------------------

    def host(self, host_id: str) -> LibvirtHost:
        """The connection to a host. Raises NotFound."""
        return self._sync(host_id).host

    def _sync(self, host_id: str) -> HostSync:
        sync = self._syncs.get(host_id)
        if sync is None:
            raise errors.NotFound("host not found")
        return sync

    def connections(self) -> list[LibvirtHost]:
        """The connections to all hosts, including those that are down."""
        return [sync.host for sync in self._syncs.values()]

    def require_host_up(self, host_id: str | None) -> LibvirtHost:
        """The given host if it is up, or the first that is up. Raises HostUnavailable, NotFound."""
        if host_id is not None:
            host = self.host(host_id)
            if host.status is not HostStatus.UP:
                why = public_reason(host.detail)
                raise errors.HostUnavailable(f"{host_word(host.name)} does not respond: {why}", retry_after_s=5)
            return host
        for sync in self._syncs.values():
            if sync.host.status is HostStatus.UP:
                return sync.host
        raise errors.HostUnavailable("no host responds", retry_after_s=5)

    def places(self, host_id: str, at_once: int) -> Places:
        """Those that limit long-running work on a host to `at_once` tasks of a tenant, and twice as many of all."""
        return self._places.setdefault(host_id, Places(2 * at_once, at_once))

    async def refresh_vm(self, host_id: str, vm_id: str) -> DomainFacts | None:
        """Read one VM again and publish its changes, before an operation on it is reported as done."""
        facts = await self._sync(host_id).refresh_vm(vm_id)
        await self.publisher.flush()
        return facts

    def restore_boot_time(self, key: Key, booted_at: datetime) -> None:
        """Show when a guest was started last, which an earlier server has seen: its run is still the same."""
        self._sync(key[0]).restore_boot_time(key[1], booted_at)

    async def barrier(self, seq: int) -> None:
        """Wait until the inventory state includes the write that returned this sequence number.

        The wait has a timeout: while the database is unavailable the rows arrive late, and are published then.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_FOLD_TIMEOUT_S):
                await self.state.barrier(seq)

    async def refresh_volumes(self, host_id: str) -> None:
        """Read a host's pools and volumes again and publish the changes."""
        await self._sync(host_id).refresh_volumes()
        await self.publisher.flush()

    async def wait_for_vm(self, vm_id: str, condition: Condition, timeout_s: float) -> bool:
        """Wait until a read of a VM satisfies `condition`; False on timeout."""
        return await self._waiters.wait(vm_id, condition, timeout_s)
