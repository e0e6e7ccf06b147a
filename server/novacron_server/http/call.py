"""The input of a route handler: one validated request with its caller."""

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

    `who` is the caller, None when a public endpoint was called without a valid token. `address` is the peer's IP
    address; `idempotency_key` is empty when none was sent; `if_match` is a generation.
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
    """The body of an upload, chunk by chunk; None for every other endpoint."""
    length_bytes: int | None = None
    """The Content-Length of the body; None when the client sent none."""
    accepts_gzip: bool = False
    """Whether the client takes a body compressed with gzip."""
    local_port: int = 0
    """The port of this server to which the client is connected."""

    @property
    def principal(self) -> Principal:
        """The caller. Raises Unauthenticated when a public endpoint was called without a valid token."""
        if self.who is None:
            raise errors.Unauthenticated()
        return self.who


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """A response whose status or headers differ from the endpoint's defaults."""

    value: R
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """An endpoint and its handler: a row of the routing table."""

    endpoint: Endpoint[Any, Any, Any]
    handler: Callable[[Call[Any, Any]], Awaitable[Any]]


def serve(
    endpoint: Endpoint[R, Q, B],
) -> Callable[[Callable[[Call[Q, B]], Awaitable[R | Reply[R]]]], Served]:
    """Decorate a coroutine as the handler of an endpoint; mypy checks that the types agree."""

    def wrap(handler: Callable[[Call[Q, B]], Awaitable[R | Reply[R]]]) -> Served:
        return Served(endpoint, handler)

    return wrap
