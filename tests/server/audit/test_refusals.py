"""A user who reaches the limit of requests: the others are not held up, administrators are warned, once a minute."""

from __future__ import annotations

import httpx

from novacron_core.api import stored_events
from novacron_core.values.roles import Role
from novacron_server.http.limits import RateLimits
from novacron_server.runtime.routes import create_app
from tests.support.api_tokens import create
from tests.support.server import LiveServer


async def test_user_at_the_limit_is_told_apart_from_others(server: LiveServer) -> None:
    bob = await server.member("bob", Role.VIEWER)
    app = create_app(server.parts)
    app._limits = RateLimits(requests=5)
    ann = (await create(server.admin)).token
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        headers = {"Authorization": f"Bearer {bob.credentials.token}"}
        answers = [await http.get("/api/hosts", headers=headers) for _ in range(20)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 15
        assert int(answers[-1].headers["retry-after"]) >= 1
        await http.get("/auth/validate", headers={"Authorization": f"Bearer {ann}"})
        assert (await http.get("/api/hosts", headers={"Authorization": f"Bearer {ann}"})).status_code == 200
    await server.parts.audit.refusals.write()
    query = stored_events.EventQuery(q="type:access.warning")
    warned = (await server.admin.call(stored_events.LIST, query=query)).items
    assert [event.note for event in warned if "bob" in event.note] == ["bob reached the limit of requests per minute"]
