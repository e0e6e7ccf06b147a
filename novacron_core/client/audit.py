"""Reading the audit log's verification, which a server answers in parts."""

from __future__ import annotations

import msgspec

from novacron_core.api import audit as api
from novacron_core.api.audit import ChainCheck, ChainQuery
from novacron_core.client.rest import Client
from novacron_core.rules.audit_chain import joined


async def verify_chains(client: Client, tenant: str | None = None) -> list[ChainCheck]:
    """What the server finds in each chain that the caller may read, or in that of one tenant. Raises NovaCronError."""
    found: dict[str, ChainCheck] = {}
    query = ChainQuery(tenant=tenant)
    while True:
        answer = await client.call(api.VERIFY, query=query)
        for part in answer.chains:
            found[part.tenant] = joined(found.get(part.tenant), part)
        if not answer.next:
            return list(found.values())
        query = msgspec.structs.replace(query, after=answer.next)
