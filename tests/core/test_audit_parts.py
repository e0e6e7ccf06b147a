"""Chains of the audit log are read in parts: one that others delay is asked for again, and not for ever."""

from __future__ import annotations

from typing import Any

import pytest

from novacron_core import errors
from novacron_core.api import audit as api
from novacron_core.api.audit import AuditCheck, ChainCheck, ChainQuery
from novacron_core.client import audit
from novacron_core.client.audit import export_part, verify_chains


def part(first: int, last: int) -> ChainCheck:
    return ChainCheck(tenant="red", entries=last - first + 1, first=first, last=last, pruned=0, head=last, head_hash="")


class Busy:
    """A client whose server refuses each part so many times."""

    def __init__(self, times: int) -> None:
        self.times = self.left = times
        self.parts = [AuditCheck(chains=[part(1, 2)], next="2"), AuditCheck(chains=[part(3, 4)])]

    async def call(self, endpoint: Any, *, query: ChainQuery) -> Any:
        if self.left:
            self.left -= 1
            raise errors.RateLimited("other reads are running", retry_after_s=0.01)
        self.left = self.times
        return self.parts[1 if query.after else 0] if endpoint is api.VERIFY else b"{}\n"


async def test_parts_that_others_delay_are_read_in_the_end() -> None:
    client: Any = Busy(3)
    (found,) = await verify_chains(client)
    assert (found.first, found.last, found.entries) == (1, 4, 4)
    assert await export_part(client, ChainQuery()) == b"{}\n"


async def test_reading_is_given_up_when_others_read_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PATIENCE_S", 0.0)
    client: Any = Busy(1000)
    with pytest.raises(errors.RateLimited):
        await verify_chains(client)
