"""The filter of the pool list. Raises FilterError."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.pools import Pool
from novacron_core.rules.filters.language import FilterField, compile_filter
from novacron_tui.connection.store import Store


def pool_filter(text: str, store: Store) -> Callable[[Pool], bool]:
    fields: dict[str, FilterField[Pool]] = {
        "name": FilterField(lambda pool: f"{pool.name} {pool.path}"),
        "tier": FilterField(lambda pool: pool.tier),
        "type": FilterField(lambda pool: pool.type),
        "host": FilterField(lambda pool: store.host_name(pool.host)),
        "free": FilterField(lambda pool: pool.available_bytes, "size"),
    }
    return compile_filter(text, fields)
