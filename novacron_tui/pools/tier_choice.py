"""The tiers to choose from, each with its free space."""

from __future__ import annotations

from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import TIERS
from novacron_tui.connection.store import Store


def tier_options(store: Store, *, exclude: str | None = None) -> list[tuple[str, str]]:
    """(words, tier) pairs, fastest first."""
    return [(_words(store, tier), tier) for tier in TIERS if tier != exclude]


def _words(store: Store, name: str) -> str:
    tier = store.tiers.get(name)
    return name if tier is None or tier.free_bytes is None else f"{name}: {size_text(tier.free_bytes)} free"
