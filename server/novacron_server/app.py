"""The application: every noun's routes over the parts, and nothing that is no row of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from litestar import Litestar, get
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Response
from litestar.routes import HTTPRoute

from novacron_core.api.endpoint import Endpoint
from novacron_server.access import routes as access_routes
from novacron_server.health import routes as health_routes
from novacron_server.hosts import routes as hosts_routes
from novacron_server.http import openapi, problems
from novacron_server.http.call import Served
from novacron_server.http.hygiene import Hygiene
from novacron_server.http.limits import Limits
from novacron_server.http.routing import mount
from novacron_server.images import routes as images_routes
from novacron_server.metrics import routes as metrics_routes
from novacron_server.metrics.exporter import Exporter
from novacron_server.metrics.scraping import Scraping
from novacron_server.operations import routes as operations_routes
from novacron_server.parts import Parts
from novacron_server.settings import Settings
from novacron_server.tiers import routes as tiers_routes
from novacron_server.vms import routes as vms_routes
from novacron_server.volumes import routes as volumes_routes

MAX_BODY_BYTES = 256 * 1024


def served(parts: Parts) -> list[Served]:
    """Every row of the routing table."""
    nouns = [
        *access_routes.routes(parts.access),
        *vms_routes.routes(parts.vms),
        *operations_routes.routes(parts.operations),
        *hosts_routes.routes(parts.inventory),
        *images_routes.routes(parts.images),
        *volumes_routes.routes(parts.volumes),
        *metrics_routes.routes(parts.metrics, _exporter(parts), _scraping(parts.settings)),
        *tiers_routes.routes(parts.tiers, parts.moves, parts.inventory),
    ]
    listed = sorted({row.endpoint.key for row in nouns})
    health = health_routes.routes(
        parts.database,
        parts.inventory,
        parts.settings.data_dir,
        metrics_problem=lambda: parts.metrics.history.problem,
        endpoints=listed,
        setup_required=parts.access.setup_required,
        open_registration=parts.settings.open_registration,
    )
    return [*nouns, *health]


def _exporter(parts: Parts) -> Exporter:
    gauges = {
        "novacron_database_up": ("Whether the database answers.", lambda: float(not parts.hub.database_away_since)),
        "novacron_stream_listeners": ("Open event streams.", lambda: float(parts.hub.listeners)),
        "novacron_operations_running": ("Operations under way.", lambda: float(parts.inventory.picture.running())),
        "novacron_events_waiting": ("Events not yet stored.", lambda: float(parts.inventory.publisher.waiting)),
    }
    return Exporter(parts.inventory, parts.metrics.board, parts.metrics.history, gauges)


def _scraping(settings: Settings) -> Scraping:
    return Scraping(settings.data_dir, settings.prometheus, behind_proxy=bool(settings.behind_proxy))


def create_app(parts: Parts) -> Hygiene:
    """The ASGI application."""
    rows = served(parts)
    settings = parts.settings
    app = Litestar(
        route_handlers=[
            *(mount(row, parts.access.authenticate) for row in rows),
            parts.stream.handler(),
            _openapi_route([row.endpoint for row in rows]),
        ],
        openapi_config=None,
        cors_config=CORSConfig(allow_origins=list(settings.origins)) if settings.origins else None,
        exception_handlers={Exception: problems.handle},
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
    )
    _only_rows(app)
    limits = Limits(
        requests=settings.requests_per_minute,
        sign_in=settings.sign_ins_per_minute,
        sockets=settings.sockets_per_minute,
    )
    return Hygiene(app, limits, tls=settings.tls, stale_since=lambda: parts.hub.database_away_since)


def _only_rows(app: Litestar) -> None:
    """Denied by default: an application with a route that is no row of the contract does not start."""
    for route in app.routes:
        handlers: Iterable[BaseRouteHandler] = (
            route.route_handlers if isinstance(route, HTTPRoute) else [route.route_handler]
        )
        for handler in handlers:
            asks_what_is_allowed = isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}
            a_row = isinstance(handler.opt.get("endpoint"), Endpoint) or handler.opt.get("document")
            if not a_row and not asks_what_is_allowed:
                raise RuntimeError(f"{route.path} is no row of the contract")


def _openapi_route(rows: list[Endpoint[Any, Any, Any]]) -> BaseRouteHandler:
    text = json.dumps(openapi.document(rows)).encode()

    @get("/openapi.json", opt={"document": True}, sync_to_thread=False)
    def document() -> Response[bytes]:
        return Response(text, media_type="application/json")

    return document
