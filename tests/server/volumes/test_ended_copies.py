"""QEMU does not say why it gave up a copy: the sentence says what is seen, and guesses nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from novacron_core.api.vms import State
from novacron_server.hypervisor.facts import DomainFacts, PoolFacts
from novacron_server.volumes.procedures.move import MirroredDisk, Move, MoveVolume

MOVE = Move(
    volume_id="v", name="data", from_pool="hot-1", from_path="/h/data", to_pool="cold-1", to_path="/c/data", tier="cold"
)
GIB = 1 << 30


def pool(free_bytes: int, *, active: bool = True) -> PoolFacts:
    return PoolFacts(
        uuid="p",
        name="cold-1",
        type="dir",
        active=active,
        path="/c",
        capacity_bytes=GIB,
        allocated_bytes=GIB - free_bytes,
        available_bytes=free_bytes,
    )


def vm(state: State, reason: str = "") -> DomainFacts:
    return DomainFacts(uuid="u", name="web", state=state, reason=reason)


@pytest.mark.parametrize(
    ("facts", "found", "says"),
    [
        (None, pool(GIB), "the VM was removed during the copy"),
        (vm(State.STOPPED, "powered off"), pool(0), "the VM stopped during the copy (powered off)"),
        (vm(State.STOPPED, "crashed"), pool(GIB), "the VM stopped during the copy (crashed)"),
        (vm(State.RUNNING), None, "the pool cold-1 became inactive during the copy"),
        (vm(State.RUNNING), pool(GIB, active=False), "the pool cold-1 became inactive during the copy"),
        (vm(State.RUNNING), pool(4096), "cold is full: 4 KiB free"),
        (vm(State.RUNNING), pool(GIB), "the copy was aborted outside NovaCron, or QEMU could not write it"),
    ],
)
async def test_why_a_copy_ended(facts: DomainFacts | None, found: PoolFacts | None, says: str) -> None:
    async def nothing(_: str) -> None:
        return

    async def read(_: str) -> DomainFacts | None:
        return facts

    pools = {found.name: found} if found else {}
    storage = SimpleNamespace(pools_on=lambda _: pools)
    inventory: Any = SimpleNamespace(state=SimpleNamespace(storage=storage), refresh_volumes=nothing)
    host: Any = SimpleNamespace(host_id="h", read_domain=read, storage=SimpleNamespace(refresh_pool=nothing))
    nobody: Any = None
    move = MoveVolume(nobody, nobody, inventory, nobody)
    assert await move._why_ended(host, MirroredDisk(vm="u", target="vda"), MOVE) == says
