"""What a route is given: one checked request, with who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from novacron_core import errors
from novacron_core.api.base import Request
from novacron_core.api.endpoint import Endpoint
from novacron_core.rules.visibility import Principal

R = TypeVar("R")
Q = TypeVar("Q", bound=Request)
B = TypeVar("B", bound=Request)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """A request that passed its endpoint's checks: types, permission, size.

    `address` is the peer's; `idempotency_key` is empty where none was sent; `if_match` is a generation.
    """

    query: Q
    body: B
    path: dict[str, str]
    who: Principal | None
    request_id: str
    address: str
    user_agent: str
    bearer: str = ""
    idempotency_key: str = ""
    if_match: int | None = None
    stream: AsyncIterator[bytes] | None = None
    """The body of an upload, as it comes; None for every other endpoint."""
    length_bytes: int | None = None
    """How long the body will be, as far as the caller said so."""

    @property
    def principal(self) -> Principal:
        """Who asks. Raises Unauthenticated where the endpoint let nobody in particular through."""
        if self.who is None:
            raise errors.Unauthenticated()
        return self.who


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """An answer with a status or headers other than the endpoint's own."""

    value: R
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint and what answers it: a row of the routing table."""

    endpoint: Endpoint[Any, Any, Any]
    handler: Callable[[Call[Any, Any]], Awaitable[Any]]


def serve(
    endpoint: Endpoint[R, Q, B],
) -> Callable[[Callable[[Call[Q, B]], Awaitable[R | Reply[R]]]], Served]:
    """Decorate the coroutine that answers an endpoint; mypy checks that the types agree."""

    def wrap(handler: Callable[[Call[Q, B]], Awaitable[R | Reply[R]]]) -> Served:
        return Served(endpoint, handler)

    return wrap
