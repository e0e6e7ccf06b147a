"""All open consoles: opened for the first follower of a VM, closed a little after its last."""

from __future__ import annotations

import asyncio
from functools import partial

from novacron_core import errors
from novacron_core.api.consoles import CLOSE_REPLACED, ConsoleQuery
from novacron_core.api.vms import VM
from novacron_core.rules.visibility import Principal
from novacron_server.consoles.console import SharedConsole
from novacron_server.consoles.follower import ConsoleFollower
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.state import Key
from novacron_server.tasks import cancel_tasks

LINGER_S = 30.0
"""How long a console stays open after its last follower: one who comes back finds what was printed meanwhile. Then other
programs can have it."""
MAX_FOLLOWERS = 256
"""Of one VM."""


class Consoles:
    """One per server."""

    def __init__(self, inventory: Inventory, *, linger_s: float = LINGER_S) -> None:
        self._inventory = inventory
        self._linger_s = linger_s
        self._open: dict[Key, SharedConsole] = {}
        self._lingering: dict[Key, asyncio.TimerHandle] = {}
        self._closing: set[asyncio.Task[None]] = set()
        inventory.domain_read.listen(self._vm_read)

    def vm(self, principal: Principal, vm_id: str) -> VM:
        """The VM whose console it is. Raises NotFound, HostUnavailable while that is not known yet, and Conflict where two
        hosts have it."""
        vm = self._inventory.vm(principal, vm_id)
        if vm.duplicate_on:
            raise errors.Conflict("two hosts have a VM with this id: the console of neither can be opened")
        return vm

    def check_room(self, vm: VM, query: ConsoleQuery) -> None:
        """Raises RateLimited when as many as may follow this console already."""
        console = self._open.get((vm.host, vm.id))
        if console is not None and query.follower not in console.followers and len(console.followers) >= MAX_FOLLOWERS:
            raise _too_many()

    def join(self, principal: Principal, vm: VM, query: ConsoleQuery) -> tuple[SharedConsole, ConsoleFollower]:
        """Follow a VM's console. Raises RateLimited when too many do."""
        key = (vm.host, vm.id)
        console = self._open.get(key)
        if console is None:
            console = self._open[key] = SharedConsole(vm.id, partial(self._known, key), partial(self._host, key))
        if (handle := self._lingering.pop(key, None)) is not None:
            handle.cancel()
        earlier = console.followers.get(query.follower)
        if earlier is not None and earlier.principal.session_id == principal.session_id:
            console.followers.pop(earlier.id)  # its connection broke, and the server has not noticed yet
        else:
            earlier = None
        if len(console.followers) >= MAX_FOLLOWERS:
            raise _too_many()
        follower = ConsoleFollower(
            principal,
            console.ring,
            writes=query.write,
            window=query.window,
            may_follow=partial(self._inventory.shows, principal, key),
        )
        if query.stream == console.stream:
            follower.start_at(query.after)
        else:
            follower.start_at(max(console.ring.begin, console.ring.end - query.tail))
        if earlier is not None:
            earlier.close(CLOSE_REPLACED)
            if console.writer is earlier:
                console.writer = follower
        console.add(follower)
        return console, follower

    def leave(self, vm: VM, console: SharedConsole, follower: ConsoleFollower) -> None:
        """A follower has gone."""
        console.remove(follower)
        key = (vm.host, vm.id)
        if not console.followers and self._open.get(key) is console:
            loop = asyncio.get_running_loop()
            self._lingering[key] = loop.call_later(self._linger_s, self._end, key)

    async def close(self) -> None:
        """Close all consoles, at the end of the server."""
        for handle in self._lingering.values():
            handle.cancel()
        consoles = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(console.close() for console in consoles))
        await cancel_tasks(self._closing)

    def _end(self, key: Key) -> None:
        self._lingering.pop(key, None)
        console = self._open.pop(key, None)
        if console is not None:
            task = asyncio.create_task(console.close(), name=f"closing console {key[1]}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _vm_read(self, key: Key) -> None:
        if (console := self._open.get(key)) is not None:
            console.changed()

    def _known(self, key: Key) -> VM | None:
        return self._inventory.state.composed(key)

    def _host(self, key: Key) -> LibvirtHost:
        return self._inventory.require_host_up(key[0])


def _too_many() -> errors.RateLimited:
    return errors.RateLimited(f"{MAX_FOLLOWERS} clients follow this console already", retry_after_s=10)
