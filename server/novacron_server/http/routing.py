"""Builds Litestar handlers from endpoints: authenticate, authorize, decode, respond."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec
from litestar import HttpMethod, Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Empty

from novacron_core import errors
from novacron_core.api.base import Nothing
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.operations import Operation
from novacron_core.rules.filters.language import MAX_LENGTH
from novacron_core.rules.visibility import Principal, readable, readable_operation, why_not_permitted
from novacron_core.values.roles import Permission
from novacron_server.http import decoding
from novacron_server.http.asked import Asked, asked_of
from novacron_server.http.call import Call, Reply, Served
from novacron_server.http.filter_budget import FilterBudget
from novacron_server.http.middleware import bearer_of
from novacron_server.places import ACTS_FOR

Authenticator = Callable[[str, str], Awaitable[Principal]]
"""Takes a bearer token and the client's address, and returns the user; raises Unauthenticated."""


class _HasScope(Protocol):
    @property
    def scope(self) -> Any: ...


def mount(served: Served, authenticate: Authenticator, filters: FilterBudget | None = None) -> HTTPRouteHandler:
    """The Litestar handler of one endpoint. `filters` bounds the filters of a user."""
    filters = filters or FilterBudget()
    endpoint = served.endpoint

    async def handle(request: Request[Any, Any, Any]) -> ASGIResponse:
        asked = asked_of(request.scope)
        asked.endpoint, asked.path = endpoint, request.path_params
        try:
            return await answer(request, asked)
        except errors.NovaCronError as e:
            if asked.who is not None and e.status not in (404, 422):  # these are about the request itself
                e.detail = readable(asked.who, e.detail)
            asked.refused = e
            raise

    async def answer(request: Request[Any, Any, Any], asked: Asked) -> ASGIResponse:
        async def identify(token: str, address: str) -> Principal:
            asked.who = await authenticate(token, address)
            ACTS_FOR.set(asked.who.tenant)
            return asked.who

        call = await _decode_call(request, endpoint, identify)
        if call.who is None:
            asked.username = getattr(call.body, "username", "")
        q = getattr(call.query, "q", "") or getattr(call.body, "q", "")
        if call.who is not None and q:
            filters.charge(call.who.user_id, min(len(q.split()) + q.count(","), MAX_LENGTH))
        result = await served.handler(call)
        if isinstance(result, Operation) and call.who is not None:
            result = readable_operation(call.who, result)
        return _respond(endpoint, result)

    return HTTPRouteHandler(
        path=litestar_path(endpoint.path),
        http_method=HttpMethod(str(endpoint.method)),
        status_code=200,  # every response sets its own
        name=endpoint.key,
        opt={"endpoint": endpoint},
        include_in_schema=False,
        # The upload's service limits its length; every other body is limited by the application.
        request_max_body_size=None if endpoint.kind == "upload" else Empty,
    )(handle)


class Methods:
    """The HTTP methods of each path."""

    def __init__(self, endpoints: Iterable[Endpoint[Any, Any, Any]], others: Mapping[str, str]) -> None:
        rows = [(row.path, str(row.method)) for row in endpoints] + list(others.items())
        self._rows = [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), method) for path, method in rows]

    def of(self, path: str) -> list[str]:
        return sorted({method for pattern, method in self._rows if pattern.fullmatch(path.rstrip("/") or "/")})


def litestar_path(path: str) -> str:
    """The path in Litestar's syntax: `/x/{vm_id}` becomes `/x/{vm_id:str}`."""
    return path.replace("}", ":str}")


async def authorize(request: _HasScope, permission: Permission, authenticate: Authenticator) -> Principal | None:
    """The caller, after checking the permission. Raises Unauthenticated or Forbidden.

    A public endpoint gets the caller of a valid token too, and ignores an invalid one, or one that cannot be checked now.
    """
    token = bearer(request)
    if permission is Permission.PUBLIC:
        try:
            return await authenticate(token, address_of(request)) if token else None
        except (errors.Unauthenticated, errors.DatabaseUnavailable):
            return None
    if not token:
        raise errors.Unauthenticated("No bearer token. Sign in first.")
    principal = await authenticate(token, address_of(request))
    if why := why_not_permitted(principal, permission):
        raise errors.Forbidden(why)
    return principal


def bearer(request: _HasScope) -> str:
    """The token of an Authorization header, empty without one."""
    return bearer_of(request.scope["headers"])


def address_of(request: _HasScope) -> str:
    """The IP address of the client, empty when it is not known."""
    client = request.scope.get("client")
    return str(client[0]) if client else ""


async def _decode_call(
    request: Request[Any, Any, Any], endpoint: Endpoint[Any, Any, Any], authenticate: Authenticator
) -> Call[Any, Any]:
    principal = await authorize(request, endpoint.permission, authenticate)
    if any("\0" in str(value) for value in request.path_params.values()):
        raise errors.NotFound("No such resource")
    headers = request.headers
    state = request.scope["state"]
    return Call(
        query=decoding.query(request.query_params.multi_items(), endpoint.query),
        stream=request.stream() if endpoint.kind == "upload" else None,
        length_bytes=decoding.length(headers.get("content-length")),
        body=await _decode_body(request, endpoint),
        path={name: str(value) for name, value in request.path_params.items()},
        who=principal,
        request_id=state.get("request_id", ""),
        address=address_of(request),
        accepts_gzip=decoding.accepts_gzip(headers.get("accept-encoding", "")),
        local_port=(request.scope.get("server") or ("", 0))[1] or 0,
        user_agent=headers.get("user-agent", "")[:200],
        bearer=bearer(request),
        idempotency_key=decoding.idempotency_key(headers.get("idempotency-key")),
        if_match=decoding.if_match(headers.get("if-match")),
    )


async def _decode_body(request: Request[Any, Any, Any], endpoint: Endpoint[Any, Any, Any]) -> Any:
    """The body as the endpoint's struct. One that takes none refuses every field, and reads no body of a GET without."""
    if endpoint.kind == "upload":
        return Nothing()
    has_none = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    return Nothing() if has_none and endpoint.takes is Nothing else decoding.body(await request.body(), endpoint.takes)


def _respond(endpoint: Endpoint[Any, Any, Any], result: Any) -> ASGIResponse:
    reply = result if isinstance(result, Reply) else Reply(result)
    status = reply.status or endpoint.status
    headers = dict(reply.headers)
    if isinstance(reply.value, Operation) and status == 202:
        headers["Location"] = f"/api/operations/{reply.value.id}"
    if status == 204:
        return ASGIResponse(status_code=204, headers=headers)
    if endpoint.kind == "bytes":
        return ASGIResponse(body=reply.value, status_code=status, headers=headers)
    body = msgspec.json.encode(reply.value)
    return ASGIResponse(body=body, status_code=status, media_type="application/json", headers=headers)
