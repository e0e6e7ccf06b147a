"""The storage policy, read from the server: what is declared of tiers, and their capacity marks."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from novacron_core.api import tiering
from novacron_core.api.tiering import StoragePolicy
from novacron_core.errors import NovaCronError

if TYPE_CHECKING:
    from novacron_core.client import Client

_EVERY_S = 60.0


@dataclass
class KnownPolicy:
    """`value` is None until the policy was read, and where the server has none. `version` rises with every change."""

    value: StoragePolicy | None = None
    version: int = 0
    _read_at: float = float("-inf")

    async def read(self, client: Client) -> None:
        """Read the policy if the last one is of more than a minute ago; what cannot be read leaves the last known one."""
        if monotonic() - self._read_at < _EVERY_S:
            return
        try:
            found = await client.call(tiering.POLICY)
        except NovaCronError:
            return
        self._read_at = monotonic()
        if found != self.value:
            self.value = found
            self.version += 1

    def forget(self) -> None:
        """Read it anew at the next time."""
        self._read_at = float("-inf")
