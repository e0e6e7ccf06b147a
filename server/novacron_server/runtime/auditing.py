"""Builds the parts of the audit log and connects them with those that they record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from novacron_server.access.repository import find_users
from novacron_server.access.warnings import SecurityWarnings
from novacron_server.audit.chain import Signer
from novacron_server.audit.heads import Heads
from novacron_server.audit.refusals import Refusals
from novacron_server.audit.service import Audit
from novacron_server.database.transactions import Database
from novacron_server.inventory.names import ObjectNames
from novacron_server.inventory.state import InventoryState
from novacron_server.runtime.background import Background
from novacron_server.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Auditing:
    """The parts of the audit log."""

    log: Audit
    heads: Heads
    refusals: Refusals

    def start(self, background: Background) -> None:
        """Start its tasks. At the end the last refusals are written, and then the last heads."""
        parts: list[tuple[str, Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]] = [
            ("heads of the audit log", self.heads.run, self.heads.close),
            ("audit log", self.refusals.run, self.refusals.close),
        ]
        for name, run, close in parts:
            background.on_stop(close)
            background.add(name, run)


def build_auditing(settings: Settings, database: Database, state: InventoryState, wake: Callable[[], None]) -> Auditing:
    """Create them. `wake` is called after commits with events. Raises Internal for a corrupt key."""
    warnings = SecurityWarnings(database, wake)
    signer = Signer(settings.data_dir / "audit-key")
    heads = Heads(database, settings.data_dir / "audit-heads.json", signer, warnings.of_chain)
    find_object = ObjectNames(state).find
    refusals = Refusals(database, find_users, warnings.of_account, wake=wake, find_object=find_object)
    return Auditing(Audit(database, heads, signer), heads, refusals)
