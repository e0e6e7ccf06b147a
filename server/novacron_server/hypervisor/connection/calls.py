"""Blocking calls to a host as coroutines: the common base for domains, storage and disks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from novacron_server.hypervisor.connection.session import R
from novacron_server.hypervisor.connection.supervisor import ConnectionSupervisor

T = TypeVar("T")


class Calls(Generic[R]):
    """Each kind of call has its own threads, so that a slow call never delays inventory reads."""

    def __init__(self, supervisor: ConnectionSupervisor[R]) -> None:
        self._supervisor = supervisor

    async def _read(self, work: Callable[[Any], T]) -> T:
        return await self._supervisor.call(self._supervisor.reads, work, deadline_s=self._supervisor.timing.read_s)

    async def _read_storage(self, work: Callable[[Any], T]) -> T:
        return await self._supervisor.call(self._supervisor.storage, work, deadline_s=self._supervisor.timing.read_s)

    async def _change(self, what: str, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return await self._supervisor.call(
            self._supervisor.changes,
            lambda connection: call(connection, *arguments, **named),
            what=what,
            deadline_s=self._supervisor.timing.change_s,
        )
