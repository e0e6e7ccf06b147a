"""The form that sets the tier of a pool."""

from __future__ import annotations

from novacron_core.api import pools
from novacron_core.api.pools import Pool
from novacron_tui.connection.form_request import Send, build_request
from novacron_tui.connection.store import Store
from novacron_tui.pools.tier_choice import tier_options
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.field import FormField
from novacron_tui.widgets.form import Form, Values, choice

_NO_TIER = "-"


def set_tier(pool: Pool, store: Store, send: Send) -> Form[None]:
    options = [*tier_options(store), ("No tier (listed only)", _NO_TIER)]
    fields = {"tier": FormField("Tier", choice(options, pool.tier or _NO_TIER))}

    async def submit(values: Values, key: str) -> None:
        tier = None if values["tier"] == _NO_TIER else values["tier"]
        await send(build_request(pools.PoolTier, tier=tier), key)

    return Form(f"Set the tier of {one_line(pool.name)}", fields, "Set", submit)
