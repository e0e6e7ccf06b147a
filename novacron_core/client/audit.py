"""Reading whole chains of the audit log, which a server answers in parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from novacron_core import errors
from novacron_core.api import audit as api
from novacron_core.api.audit import ChainCheck, ChainQuery
from novacron_core.client.rest import Client
from novacron_core.rules.audit_chain import joined

T = TypeVar("T")
PATIENCE_S = 60.0
"""How long a part is asked for again while others read: a chain of which most was read is not given up."""
_PAUSE_S = 5.0


async def verify_chains(client: Client, tenant: str | None = None) -> list[ChainCheck]:
    """What the server finds in each chain that the caller may read, or in that of one tenant. Raises NovaCronError."""
    found: dict[str, ChainCheck] = {}
    query = ChainQuery(tenant=tenant)
    while True:
        answer = await _when_free(partial(client.call, api.VERIFY, query=query))
        for part in answer.chains:
            found[part.tenant] = joined(found.get(part.tenant), part)
        if not answer.next:
            return list(found.values())
        query = msgspec.structs.replace(query, after=answer.next)


async def export_part(client: Client, query: ChainQuery) -> bytes:
    """The lines of one part of an export. Raises NovaCronError."""
    return await _when_free(partial(client.call, api.EXPORT, query=query))


async def _when_free(read: Callable[[], Awaitable[T]]) -> T:
    """Raises RateLimited if others read for longer than the patience."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await read()
        except errors.RateLimited as e:
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(e.retry_after_s or _PAUSE_S)
