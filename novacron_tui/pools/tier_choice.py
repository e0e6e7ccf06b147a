"""The tiers to choose from, each with its free space, and the warning at a disk that is promised more."""

from __future__ import annotations

from novacron_core.rules.room import promised_beyond_room
from novacron_core.values.sizes import size_text
from novacron_core.values.tiers import TIERS
from novacron_tui.connection.store import Store
from novacron_tui.widgets.field import FormField


def tier_options(store: Store, *, exclude: str | None = None) -> list[tuple[str, str]]:
    """(words, tier) pairs, fastest first."""
    return [(_words(store, tier), tier) for tier in TIERS if tier != exclude]


def show_room(field: FormField, store: Store, size_bytes: int | None, host: str) -> None:
    """Warn at a form's field of the tier when a new disk of this size is promised more than there is room for."""
    found = promised_beyond_room(size_bytes, field.value, store.tiers, store.pools.values(), host) if size_bytes else ""
    field.show_advice(found[:1].upper() + found[1:], warning=bool(found))


def _words(store: Store, name: str) -> str:
    tier = store.tiers.get(name)
    return name if tier is None or tier.free_bytes is None else f"{name}: {size_text(tier.free_bytes)} free"
