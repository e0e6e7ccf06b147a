"""What was decided about moves, for authorized readers."""

from __future__ import annotations

import msgspec

from novacron_core import errors
from novacron_core.api.automatic import StorageDecision
from novacron_core.api.base import ListQuery, Page
from novacron_core.api.problem import FieldError
from novacron_core.api.volumes import HIDDEN_VM
from novacron_core.rules.tiering.automatic import Held
from novacron_core.rules.visibility import Principal, readable, sees_everything
from novacron_core.values.roles import Role
from novacron_server.database.transactions import Database
from novacron_server.inventory.inventory import Inventory
from novacron_server.operations.queries import words_of
from novacron_server.tiering.automatic_moves import repository as decisions
from novacron_server.tiering.automatic_moves.repository import Decided

_FIELDS = tuple(name for name in StorageDecision.__struct_fields__)


class DecisionHistory:
    """Shows each reader the decisions about volumes of its tenant, an administrator all."""

    def __init__(self, database: Database, inventory: Inventory) -> None:
        self._database, self._inventory = database, inventory

    async def page(self, principal: Principal, query: ListQuery) -> Page[StorageDecision]:
        """Newest first. Each word of `q` must be in the volume's name, the tiers, the result, its cause or, for
        who sees everything, the reason. Raises
        ValidationFailed for too many words or an order, RateLimited while many others search, DatabaseUnavailable."""
        if query.sort not in ("", "-last_at"):
            message = "must be -last_at: decisions come newest first"
            raise errors.ValidationFailed(f"sort: {message}", fields=[FieldError(field="sort", message=message)])
        words, offset = words_of(query.q), (query.page - 1) * query.page_size
        administrator = principal.role is Role.ADMINISTRATOR
        told_all = sees_everything(principal)
        seen = {volume.id: volume for volume in self._inventory.volumes(principal)}
        async with self._database.search(principal):
            found, total = await self._database.run(
                lambda c: decisions.page(
                    c,
                    None if administrator else principal.tenant,
                    words,
                    offset,
                    query.page_size,
                    list(seen) if principal.vm_filter else None,
                    reasons=told_all,  # or who searches would learn what it is not told
                ),
                read_only=True,
            )
        hidden = {volume.id for volume in seen.values() if volume.vm == HIDDEN_VM}
        items = [
            _shown(each, principal, told=told_all or (each.volume in seen and each.volume not in hidden))
            for each in found
        ]
        return Page(items=items, total=total, page=query.page, page_size=query.page_size)


def _shown(decided: Decided, principal: Principal, *, told: bool) -> StorageDecision:
    """The decision for a reader. A refusal may name a VM that it does not see: then it is not `told`."""
    fields = {name: getattr(decided, name) for name in _FIELDS}
    refused = decided.cause == Held.REFUSED
    fields["reason"] = "it could not be moved then" if refused and not told else readable(principal, decided.reason)
    return msgspec.convert(fields, StorageDecision)
