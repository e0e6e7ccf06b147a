"""The complete inventory that a principal may see, split into frames of limited size, all at one sequence number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from novacron_core.api import events as api
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Permission, allows
from novacron_server.inventory.inventory import Inventory

_HEADROOM = 4096


def inventory_frames(inventory: Inventory, principal: Principal) -> list[bytes]:
    """The `inventory` frames, each at most MAX_INVENTORY_PART_BYTES long; at least one; the last has `last` set."""
    seq = inventory.state.seq
    parts = list(_parts(_items(inventory, principal)))
    return [_frame(seq, number, number == len(parts) - 1, groups) for number, groups in enumerate(parts)]


def _items(inventory: Inventory, principal: Principal) -> Iterable[tuple[str, Any]]:
    def may(permission: Permission) -> bool:
        return allows(principal.role, permission)

    if may(Permission.HOST_READ):
        yield from (("hosts", host) for host in inventory.hosts(principal))
    if may(Permission.VM_READ):
        yield from (("vms", vm) for vm in inventory.vms(principal))
    if may(Permission.VOLUME_READ):
        yield from (("volumes", volume) for volume in inventory.volumes(principal))
        yield from (("pools", pool) for pool in inventory.pools(principal))
        yield from (("tiers", tier) for tier in inventory.tiers(principal))
    if may(Permission.OPERATION_READ):
        yield from (("operations", operation) for operation in inventory.operations(principal))


def _parts(items: Iterable[tuple[str, Any]]) -> Iterator[dict[str, list[msgspec.Raw]]]:
    groups: dict[str, list[msgspec.Raw]] = {}
    size = 0
    for name, item in items:
        data = msgspec.json.encode(item)
        if size + len(data) > api.MAX_INVENTORY_PART_BYTES - _HEADROOM:
            yield groups
            groups, size = {}, 0
        groups.setdefault(name, []).append(msgspec.Raw(data))
        size += len(data) + 1
    yield groups


def _frame(seq: int, part: int, last: bool, groups: dict[str, list[msgspec.Raw]]) -> bytes:
    return msgspec.json.encode({"frame": "inventory", "seq": seq, "part": part, "last": last, **groups})
