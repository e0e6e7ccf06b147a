"""The actions on pools as data."""

from __future__ import annotations

from typing import Any

from novacron_core.api import pools
from novacron_core.api.pools import Pool
from novacron_core.rules.pool_actions import why_not_in_a_tier
from novacron_tui.actions import Action, ActionContext
from novacron_tui.connection.form_request import sender
from novacron_tui.connection.store import Store
from novacron_tui.pools import forms


def _why_not_tier(pool: Pool, _store: Store) -> str | None:
    return why_not_in_a_tier(pool.name, pool.type, managed=pool.managed)


async def _set_tier(context: ActionContext, pool: Pool) -> None:
    send = sender(context, pools.SET_TIER, "changing the tier of", pool_id=pool.id)
    await context.show_dialog(forms.set_tier(pool, context.session.store, send))


def _copy_ids(screen: Any, _pool: Pool) -> None:
    screen.copy_ids([pool.id for pool in screen.subjects(COPY_ID)])


SET_TIER = Action[Pool](
    "tier", "m", "set tier", "Set or remove the tier of the pool.", pools.SET_TIER, _why_not_tier,
    group="Pool", opens=True, run=_set_tier, command="pool set-tier {names} TIER",
)  # fmt: skip
COPY_ID = Action[Pool](
    "copy-id", "y", "copy id", "Copy the ids of the pools to the terminal's clipboard.", group="Pool",
    run=_copy_ids,
)  # fmt: skip
VERBS = (SET_TIER, COPY_ID)
