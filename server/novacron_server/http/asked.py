"""What is known of the request that is being handled: who asks, for what, from where. It is filled in on the way.

The same value is in the request's context, where records of changes read who makes them, and goes to those who look at
refused requests after their answers were sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from novacron_core.api.endpoint import Endpoint
from novacron_core.errors import NovaCronError
from novacron_core.rules.visibility import Principal, may
from novacron_core.values.roles import Permission

_ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)


@dataclass(slots=True)
class Asked:
    """A request. `path` has the values of the path's placeholders, and `endpoint` is None until it is known.

    `who` is the caller of a valid token, and `user_id` that of a token that this server signed, valid or not. `username`
    was typed by somebody without a token. `refused` is why the request was refused, None if it was not.
    """

    address: str = ""
    request_id: str = ""
    user_id: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    endpoint: Endpoint[Any, Any, Any] | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    who: Principal | None = None
    username: str = ""
    refused: NovaCronError | None = None


def begin(scope: Any, asked: Asked) -> None:
    """A request begins: it is found by `asked_of`, and by `current` in its context."""
    scope.setdefault("state", {})["asked"] = asked
    _ASKED.set(asked)


def asked_of(scope: Any) -> Asked:
    """The request of a scope; an empty one where nothing has begun it."""
    state = scope.setdefault("state", {})
    found = state.get("asked")
    if found is None:
        found = state["asked"] = Asked()
    assert isinstance(found, Asked)
    return found


def asker_may(permission: Permission) -> bool:
    """Whether who asks may do or read that: what they may not, no sentence tells them. True outside of requests, whose
    sentences are for those who run the server."""
    asked = _ASKED.get()
    return asked is None or asked.who is None or may(asked.who, permission)


def current() -> Asked | None:
    """The request in whose context the caller runs, also in tasks that it has started. None outside of requests."""
    return _ASKED.get()
