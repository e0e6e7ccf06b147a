"""Endpoints as data: the server mounts them, the client calls them and the documentation lists them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Literal, cast

from typing_extensions import TypeVar

from novacron_core.api.base import Nothing, Request
from novacron_core.values.roles import Permission

R = TypeVar("R")
Q = TypeVar("Q", bound=Request, default=Nothing)
B = TypeVar("B", bound=Request, default=Nothing)


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


Kind = Literal["json", "bytes", "upload", "socket"]


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[R, Q, B]):
    """One row of the contract.

    `query` and `takes` are request structs (`Nothing` for none); `returns` is the struct of a successful response.
    `permission` is required of the caller; PUBLIC and SIGNED_IN are permissions too, so nothing is open by omission.
    `Client.call` takes the placeholders of `path` as keyword arguments.
    """

    method: Method
    path: str
    query: type[Q]
    takes: type[B]
    returns: type[R]
    permission: Permission
    status: int = 200
    kind: Kind = "json"
    summary: str = ""
    as_sent: bool = False
    """The client does not clean the answer: it holds what a guest has printed, and the caller makes it safe."""

    @property
    def changes(self) -> bool:
        """Whether a call may change something: then it is not retried automatically and is refused while offline."""
        return self.method is not Method.GET

    @property
    def key(self) -> str:
        """`GET /api/vm/vms`: unique among all endpoints."""
        return f"{self.method} {self.path}"


def endpoint(
    route: str,
    returns: type[R],
    permission: Permission,
    *,
    query: type[Q] | None = None,
    takes: type[B] | None = None,
    status: int = 200,
    kind: Kind = "json",
    summary: str = "",
    as_sent: bool = False,
) -> Endpoint[R, Q, B]:
    """Build an endpoint from `"GET /path"`. `query` and `takes` default to `Nothing`."""
    method, path = route.split(" ", 1)
    return Endpoint(
        Method(method),
        path,
        query or cast("type[Q]", Nothing),
        takes or cast("type[B]", Nothing),
        returns,
        permission,
        status,
        kind,
        summary,
        as_sent,
    )
