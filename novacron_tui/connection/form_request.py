"""Sending the request of a form: what the server refuses is shown at the fields it names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation
from novacron_core.errors import NovaCronError
from novacron_core.rules.validation import explain
from novacron_tui.connection.session import Session
from novacron_tui.terminal.safe_text import one_line
from novacron_tui.widgets.form import Refused

Send = Callable[[Any, str], Awaitable[None]]
"""Sends a request struct under an idempotency key. Raises Refused."""


class Follower(Protocol):
    """Follows the operation that a form has started."""

    session: Session

    def follow(self, op: Operation, doing: str) -> None:
        """Say that the operation has started, and report its end."""


def build_request(kind: type[Any], **values: Any) -> Any:
    """The request struct, validated by its type. Raises Refused with the validation error as a sentence."""
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as e:
        sentence, field = explain(str(e))
        raise Refused(sentence, {field: sentence} if field else None) from e


def sender(follower: Follower, endpoint: Endpoint[Any, Any, Any], doing: str, **path: Any) -> Send:
    """What sends the request of a form to this endpoint and follows the operation."""

    async def send(body: Any, key: str) -> None:
        follower.follow(await call_from_form(follower.session, endpoint, body, key, **path), doing)

    return send


async def call_from_form(session: Session, endpoint: Endpoint[Any, Any, Any], body: Any, key: str, **path: Any) -> Any:
    """Call the endpoint under an idempotency key. Raises Refused, also while offline."""
    if (offline := session.store.why_no_change()) is not None:
        raise Refused(offline)
    try:
        return await session.client.call(endpoint, body=body, idempotency_key=key, **path)
    except NovaCronError as e:
        raise refused_by(e) from e


def refused_by(e: NovaCronError) -> Refused:
    """The refusal of a form whose fields have the names of the request's."""
    return Refused(one_line(e.detail), {error.field: one_line(error.message) for error in e.fields})
