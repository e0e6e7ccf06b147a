"""What a filter lets through of the volumes and of the pools. Each raises FilterError; None stands for everything."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.pools import Pool
from novacron_core.rules.filters.language import FilterField, compile_filter
from novacron_tui.connection.store import Store


def pools_that_pass(text: str, store: Store) -> Callable[[Pool], bool] | None:
    fields: dict[str, FilterField[Pool]] = {
        "name": FilterField(lambda pool: f"{pool.name} {pool.path}"),
        "tier": FilterField(lambda pool: pool.tier),
        "type": FilterField(lambda pool: pool.type),
        "host": FilterField(lambda pool: store.host_name(pool.host)),
        "free": FilterField(lambda pool: pool.available_bytes, "size"),
    }
    return compile_filter(text, fields) if text else None
