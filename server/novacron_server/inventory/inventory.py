"""The inventory: hosts, their keepers and the picture, behind one door for the nouns above."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

from novacron_core import errors
from novacron_core.api.hosts import Host as APIHost
from novacron_core.api.hosts import HostStatus
from novacron_core.api.operations import Operation
from novacron_core.api.pools import Pool
from novacron_core.api.problem import FieldError
from novacron_core.api.samples import VMSample
from novacron_core.api.tiers import Tier
from novacron_core.api.vms import VM
from novacron_core.api.volumes import Volume
from novacron_core.rules.filters.language import FilterError, compile_filter
from novacron_core.rules.filters.vms import vm_fields
from novacron_core.rules.visibility import SHARED, Principal, may_see
from novacron_server.hypervisor.connection.session import Override
from novacron_server.hypervisor.facts import DomainFacts, Hint
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.host_sync import HostSync
from novacron_server.inventory.publisher import Publisher
from novacron_server.inventory.rows import HostRow
from novacron_server.inventory.state import InventoryState
from novacron_server.inventory.state_waiters import Looks, StateWaiters
from novacron_server.inventory.storage_state import OwnTier
from novacron_server.outbox.group_commit import GroupCommit

_FOLD_S = 5.0
FIRST_LOOK_S = 3.0
"""For so long after its start a server keeps a listener waiting for hosts that it has not read yet."""


class Inventory:
    """Built once by the app."""

    def __init__(
        self,
        group_commit: GroupCommit,
        hosts: list[HostRow],
        *,
        virtualization: str = "",
        own_tier: OwnTier = lambda _host, _uuid: None,
    ) -> None:
        """`own_tier` knows the pools that this installation makes."""
        self.state = InventoryState(own_tier)
        self.on_storage: list[Callable[[str], None]] = []
        """Called with a host's id after each look at its storage."""
        self.publisher = Publisher(group_commit)
        self._watch = StateWaiters()
        self._virtualization: Override = "kvm" if virtualization == "kvm" else "qemu" if virtualization else None
        self._syncs = {row.id: self._keep(row) for row in hosts}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._made_at = time.monotonic()
        self.sample_of: Callable[[VM], VMSample | None] = lambda vm: None
        """A VM's newest numbers, for filters like `cpu>80`; set by who measures."""

    def _keep(self, row: HostRow) -> HostSync:
        host = LibvirtHost(
            row.id, row.uri, on_hint=self._hinted, on_status=self._status_changed, virtualization=self._virtualization
        )
        return HostSync(host, self.state, self.publisher, self._watch, on_storage=self._storage_read)

    def _storage_read(self, host_id: str) -> None:
        for told in self.on_storage:
            told(host_id)

    def _hinted(self, hint: Hint) -> None:
        self._syncs[hint.host_id].hint(hint)

    def _status_changed(self, host: LibvirtHost) -> None:
        self._syncs[host.host_id].status_changed()

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What must run as long as the server does, by name."""
        publish: tuple[str, Callable[[], Coroutine[Any, Any, None]]] = ("event publisher", self.publisher.run)
        return [publish, *((f"sync of {sync.host.uri}", sync.run) for sync in self._syncs.values())]

    async def open(self) -> None:
        """Connect to every host, side by side; one that is down does not hold up the others for long."""
        for sync in self._syncs.values():
            sync.status_changed()
        await asyncio.gather(*(sync.host.open() for sync in self._syncs.values()))

    async def first_look(self) -> None:
        """Wait until every host was read once or does not answer, for a moment after the start: to say that a host has no
        VMs, before it was asked, would take every cursor and mark from those who were there before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._made_at + FIRST_LOOK_S - time.monotonic())):
                for sync in self._syncs.values():
                    await sync.looked.wait()

    async def close(self) -> None:
        await asyncio.gather(*(sync.host.close() for sync in self._syncs.values()))

    # -- for readers: everything passes may_see ----------------------------------------------------------------------

    def vms(self, principal: Principal) -> Iterator[VM]:
        return (vm for vm in self.state.vms() if may_see(principal, vm.tenant))

    def matching(self, principal: Principal, q: str) -> Iterator[VM]:
        """Those that a filter finds. Raises ValidationFailed when the filter is not understood."""
        if not q:
            return self.vms(principal)
        names = {view.id: view.name for view in self.state.views.values()}
        try:
            test = compile_filter(q, vm_fields(names, self.sample_of))
        except FilterError as e:
            raise errors.ValidationFailed(f"q: {e}", fields=[FieldError(field="q", message=str(e))]) from e
        return filter(test, self.vms(principal))

    def vm(self, principal: Principal, vm_id: str) -> VM:
        """Raises NotFound, for another tenant's VM exactly as for none."""
        vm = next((vm for vm in self.state.vms_with(vm_id) if may_see(principal, vm.tenant)), None)
        if vm is None:
            raise errors.NotFound("there is no such VM")
        return vm

    def hosts(self, principal: Principal) -> Iterator[APIHost]:
        return (host for host in self.state.hosts() if may_see(principal, SHARED))

    def volumes(self, principal: Principal) -> Iterator[Volume]:
        return (volume for volume in self.state.storage.volumes() if may_see(principal, volume.tenant))

    def volume(self, principal: Principal, volume_id: str) -> Volume:
        """Raises NotFound, for another tenant's volume exactly as for none."""
        volume = self.state.storage.volume(volume_id)
        if volume is None or not may_see(principal, volume.tenant):
            raise errors.NotFound("there is no such volume")
        return volume

    def pools(self, principal: Principal) -> Iterator[Pool]:
        return (pool for pool in self.state.storage.pools() if may_see(principal, SHARED))

    def tiers(self, principal: Principal) -> list[Tier]:
        return self.state.storage.tiers() if may_see(principal, SHARED) else []

    def operations(self, principal: Principal) -> Iterator[Operation]:
        return (operation for operation in self.state.operations() if may_see(principal, operation.tenant))

    # -- for services ------------------------------------------------------------------------------------------------

    def host(self, host_id: str) -> LibvirtHost:
        """The connection to a host. Raises NotFound."""
        return self._sync(host_id).host

    def _sync(self, host_id: str) -> HostSync:
        sync = self._syncs.get(host_id)
        if sync is None:
            raise errors.NotFound("there is no such host")
        return sync

    def connections(self) -> list[LibvirtHost]:
        """The connection to every host, up or not."""
        return [sync.host for sync in self._syncs.values()]

    def require_host_up(self, host_id: str | None) -> LibvirtHost:
        """The named host, or the first that is up. Raises HostUnavailable, NotFound."""
        if host_id is not None:
            host = self.host(host_id)
            if host.status is not HostStatus.UP:
                raise errors.HostUnavailable(f"{host.name} does not answer: {host.detail}", retry_after_s=5)
            return host
        for sync in self._syncs.values():
            if sync.host.status is HostStatus.UP:
                return sync.host
        raise errors.HostUnavailable("no host answers", retry_after_s=5)

    def slots(self, host_id: str, at_once: int) -> asyncio.Semaphore:
        """What keeps long work on a host to so many at a time."""
        return self._slots.setdefault(host_id, asyncio.Semaphore(at_once))

    async def refresh_vm(self, host_id: str, vm_id: str) -> DomainFacts | None:
        """Read one VM again and publish what changed, before an operation on it is called done."""
        facts = await self._sync(host_id).refresh_vm(vm_id)
        await self.publisher.flush()
        return facts

    async def until_volume_is_in(self, volume_id: str, pool: str) -> None:
        """Wait, as `until_folded`, until the picture has the row that says so: else the volume would look unmanaged."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FOLD_S):
                while self.state.storage.pool_by_row(volume_id) not in (pool, None):
                    await self.state.folded.wait()

    async def until_folded(self, operation_id: str) -> None:
        """Wait until the picture has the rows that an operation was accepted with: they arrive with its first event.

        Not for ever: while the database is away they come late, and are told then.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_FOLD_S):
                while not self.state.has_operation(operation_id):
                    await self.state.folded.wait()

    async def refresh_volumes(self, host_id: str) -> None:
        """Read a host's pools and volumes again and publish what changed."""
        await self._sync(host_id).refresh_volumes()
        await self.publisher.flush()

    async def until(self, vm_id: str, looks: Looks, timeout_s: float) -> bool:
        """Wait until a VM was seen as wanted; False when that did not happen in time."""
        return await self._watch.until(vm_id, looks, timeout_s)
