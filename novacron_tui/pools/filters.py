"""What a filter lets through of the volumes and of the pools. Each raises FilterError; None stands for everything."""

from __future__ import annotations

from collections.abc import Callable

from novacron_core.api.pools import Pool
from novacron_core.rules.filters.language import Field, compile_filter
from novacron_tui.connection.store import Store


def pools_that_pass(text: str, store: Store) -> Callable[[Pool], bool] | None:
    fields: dict[str, Field[Pool]] = {
        "name": Field(lambda pool: f"{pool.name} {pool.path}"),
        "tier": Field(lambda pool: pool.tier),
        "type": Field(lambda pool: pool.type),
        "host": Field(lambda pool: store.host_name(pool.host)),
        "free": Field(lambda pool: pool.available_bytes, "size"),
    }
    return compile_filter(text, fields) if text else None
