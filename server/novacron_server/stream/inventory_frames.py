"""The complete inventory that a principal may see, split into frames of limited size, all at one sequence number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from novacron_core.api import events as api
from novacron_core.api.nouns import Noun
from novacron_core.rules.visibility import Principal, may
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.subjects import sees
from novacron_server.inventory.tables import shown_to

_HEADROOM = 4096


def inventory_frames(inventory: Inventory, principal: Principal) -> list[bytes]:
    """The `inventory` frames, each at most MAX_INVENTORY_PART_BYTES long; at least one; the last has `last` set."""
    seq = inventory.state.seq
    parts = list(_parts(_items(inventory, principal, inventory.state.nouns)))
    return [api.inventory_text(seq, number, number == len(parts) - 1, groups) for number, groups in enumerate(parts)]


def values_frame(inventory: Inventory, principal: Principal, nouns: Iterable[Noun[Any]]) -> bytes:
    """The `values` frame with all objects of these nouns that the principal may see."""
    things: dict[str, list[Any]] = {noun.list_field: [] for noun in nouns if may(principal, noun.permission)}
    for name, value in _items(inventory, principal, nouns):
        things[name].append(value)
    return api.values_text(things)


def _items(inventory: Inventory, principal: Principal, nouns: Iterable[Noun[Any]]) -> Iterable[tuple[str, Any]]:
    for noun in nouns:
        if may(principal, noun.permission):
            table = inventory.state.tables[noun.type]
            shown = shown_to(principal, table)
            yield from (
                (noun.list_field, shown(value))
                for tenant, value in table.all()
                if sees(principal, inventory.state, noun.type, tenant, value)
            )


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
