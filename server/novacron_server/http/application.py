"""The ASGI application. It serves the endpoints of the API contract and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from litestar import Litestar, get
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Response
from litestar.routes import HTTPRoute

from novacron_core.api.endpoint import Endpoint
from novacron_server.http import openapi, problems
from novacron_server.http.allowed_hosts import AllowedHosts
from novacron_server.http.asked import Asked
from novacron_server.http.call import Served
from novacron_server.http.filter_budget import FilterBudget
from novacron_server.http.limits import RateLimits
from novacron_server.http.middleware import Middleware
from novacron_server.http.routing import Authenticator, Methods, mount

MAX_BODY_BYTES = 256 * 1024


def create_application(
    rows: Sequence[Served],
    sockets: Sequence[BaseRouteHandler],
    authenticate: Authenticator,
    limits: RateLimits,
    *,
    tls: bool,
    origins: Sequence[str],
    stale_since: Callable[[], datetime | None],
    filters: FilterBudget | None = None,
    allowed_hosts: AllowedHosts | None = None,
    trusts_request_ids: bool = False,
    user_of: Callable[[str], str] = lambda bearer: "",
    on_refused: Callable[[Asked], None] = lambda asked: None,
) -> Middleware:
    """Build the application.

    `rows` are the HTTP endpoints with their handlers, `sockets` the WebSocket handlers. `stale_since` returns when
    the database became unavailable, or None while it is available. `filters` bounds the filters of a user. See
    Middleware for the others.
    """
    app = Litestar(
        route_handlers=[
            *(mount(row, authenticate, filters) for row in rows),
            *sockets,
            _openapi_route([row.endpoint for row in rows]),
        ],
        openapi_config=None,
        cors_config=CORSConfig(allow_origins=list(origins)) if origins else None,
        exception_handlers={Exception: problems.handle},
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
    )
    _check_routes(app)
    return Middleware(
        app,
        limits,
        tls=tls,
        stale_since=stale_since,
        methods_of=Methods([row.endpoint for row in rows], {"/openapi.json": "GET"}).of,
        allowed_hosts=allowed_hosts,
        trusts_request_ids=trusts_request_ids,
        user_of=user_of,
        on_refused=on_refused,
    )


def _check_routes(app: Litestar) -> None:
    """Deny by default: raise RuntimeError when a route is not an endpoint of the API contract."""
    for route in app.routes:
        handlers: Iterable[BaseRouteHandler] = (
            route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        )
        for handler in handlers:
            is_preflight = isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}
            is_endpoint = isinstance(handler.opt.get("endpoint"), Endpoint) or handler.opt.get("document")
            if not is_endpoint and not is_preflight:
                raise RuntimeError(f"{route.path} is not an endpoint of the API contract")


def _openapi_route(rows: list[Endpoint[Any, Any, Any]]) -> BaseRouteHandler:
    text = json.dumps(openapi.document(rows)).encode()

    @get("/openapi.json", opt={"document": True}, sync_to_thread=False)
    def document() -> Response[bytes]:
        return Response(text, media_type="application/json")

    return document
