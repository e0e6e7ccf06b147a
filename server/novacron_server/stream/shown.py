"""Pools and tiers as they were last shown to readers who are no administrators.

Such a reader is shown the number and sizes of its own volumes. An event that makes clients refresh a pool because of
somebody else's volumes would tell it when others work, so it is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from novacron_core.api import events as api
from novacron_core.api.nouns import POOLS, TIERS
from novacron_core.rules.visibility import Principal
from novacron_core.values.roles import Role
from novacron_server.inventory.storage_changes import pool_differs, tier_differs
from novacron_server.inventory.tables import NounTable, shown_to

REFRESHES = (f"{POOLS.type}.updated", f"{TIERS.type}.updated")
_DIFFERS: Mapping[str, Callable[[Any, Any], bool]] = {POOLS.type: pool_differs, TIERS.type: tier_differs}


@dataclass
class _Audience:
    listeners: int = 0
    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    """By type and id."""

    def show(self, key: tuple[str, str], value: Any, *, first: bool) -> None:
        """One more reader sees this value. If the others were shown another one, the next event is news for all."""
        if first:
            self.values[key] = value
        elif key in self.values and _DIFFERS[key[0]](self.values[key], value):
            del self.values[key]


class ShownStorage:
    """What each audience with an open stream was shown last."""

    def __init__(self, tables: Mapping[str, NounTable]) -> None:
        self._tables = tables
        self._audiences: dict[Hashable, _Audience] = {}

    def begin(self, principal: Principal) -> None:
        """A stream begins: its reader has just been shown all pools and tiers, or reads them now."""
        if principal.role is Role.ADMINISTRATOR:
            return
        audience = self._audiences.setdefault(principal.audience, _Audience())
        audience.listeners += 1
        for noun in (POOLS, TIERS):
            table = self._tables[noun.type]
            shown = shown_to(principal, table)
            for _, value in table.all():
                audience.show((noun.type, str(noun.key(value))), shown(value), first=audience.listeners == 1)

    def end(self, principal: Principal) -> None:
        """A stream has ended."""
        audience = self._audiences.get(principal.audience)
        if audience is not None:
            audience.listeners -= 1
            if not audience.listeners:
                del self._audiences[principal.audience]

    def is_news(self, principal: Principal, event: api.Event, value: Any) -> bool:
        """Whether an event tells this reader anything; `value` is what it may read of the target. It counts as shown."""
        audience = self._audiences.get(principal.audience)
        if audience is None or not is_refresh(event):
            return True
        key = (event.target.type, event.target.id)
        before = audience.values.get(key)
        if before is not None and not _DIFFERS[event.target.type](before, value):
            return False
        audience.values[key] = value
        return True


def is_refresh(event: api.Event) -> bool:
    """Whether all that an event tells is that a pool or tier has changed."""
    says = event.note or event.reason or event.actor or event.before is not None or event.after is not None
    return event.type in REFRESHES and not says
