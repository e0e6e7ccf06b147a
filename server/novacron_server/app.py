"""The only place that knows all the parts: builds them, wires them, mounts the nouns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Litestar, get
from litestar.config.cors import CORSConfig
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Response
from litestar.routes import HTTPRoute

from novacron_core import __version__
from novacron_core.api.endpoint import Endpoint
from novacron_core.api.events import Priority
from novacron_core.api.operations import Target
from novacron_core.rules.visibility import SHARED
from novacron_server.access import routes as access_routes
from novacron_server.access.service import Access
from novacron_server.database import repository as database_repository
from novacron_server.database.engine import Connection, Database
from novacron_server.database.migrate import migrate
from novacron_server.events.ledger import Ledger
from novacron_server.events.outbox import Draft, OutboxReader, append, last_seq
from novacron_server.health import routes as health_routes
from novacron_server.hosts import repository as hosts_repository
from novacron_server.hosts import routes as hosts_routes
from novacron_server.housekeeping import keep_house
from novacron_server.http import openapi, problems
from novacron_server.http.call import Served
from novacron_server.http.hygiene import Hygiene
from novacron_server.http.limits import Limits
from novacron_server.http.routing import mount
from novacron_server.images import routes as images_routes
from novacron_server.images.service import Images
from novacron_server.inventory.inventory import Inventory
from novacron_server.inventory.rows import HostRow
from novacron_server.metrics import routes as metrics_routes
from novacron_server.metrics.exporter import Exporter
from novacron_server.metrics.measuring import Measuring
from novacron_server.metrics.scraping import Scraping
from novacron_server.metrics.tier_rates import rates_on
from novacron_server.operations import repository as operations_repository
from novacron_server.operations import routes as operations_routes
from novacron_server.operations.service import Operations
from novacron_server.operations.settling import settle_all
from novacron_server.settings import Settings
from novacron_server.stream.hub import Hub
from novacron_server.stream.outage import Outage
from novacron_server.stream.samples import Samples
from novacron_server.stream.socket import Stream
from novacron_server.tiers import repository as tiers_repository
from novacron_server.tiers import routes as tiers_routes
from novacron_server.tiers.moves import Moves
from novacron_server.tiers.service import Tiers
from novacron_server.tiers.upkeep import Upkeep
from novacron_server.vms import repository as vms_repository
from novacron_server.vms import routes as vms_routes
from novacron_server.vms.reconciler import Reconciler
from novacron_server.vms.service import VMs
from novacron_server.volumes import repository as volumes_repository
from novacron_server.volumes import routes as volumes_routes
from novacron_server.volumes.leftovers import Leftovers
from novacron_server.volumes.placement import Placement
from novacron_server.volumes.service import Volumes

MAX_BODY_BYTES = 256 * 1024
_RECENT_OPERATIONS = 200


@dataclass(frozen=True, slots=True)
class Parts:
    """What a running server is made of."""

    settings: Settings
    database: Database
    ledger: Ledger
    access: Access
    inventory: Inventory
    operations: Operations
    reader: OutboxReader
    hub: Hub
    images: Images
    vms: VMs
    volumes: Volumes
    tiers: Tiers
    moves: Moves
    upkeep: Upkeep
    leftovers: Leftovers
    stream: Stream
    reconciler: Reconciler
    metrics: Measuring


@asynccontextmanager
async def open_parts(
    settings: Settings, owner_url: str, app_url: str, *, embedded: bool, hypervisors: list[str]
) -> AsyncIterator[Parts]:
    """Everything but the network: database, inventory, runner and stream, in the order they need each other.

    Raises DatabaseUnavailable, InvalidArgument for a libvirt URI that is not allowed.
    """
    await migrate(owner_url, app_url)
    async with AsyncExitStack() as stack:
        database = Database(app_url, kind="embedded" if embedded else "external")
        stack.push_async_callback(database.close)
        parts = await _build(settings, database, hypervisors)
        stack.push_async_callback(parts.ledger.close)
        stack.push_async_callback(parts.reader.close)
        stack.push_async_callback(parts.inventory.close)
        stack.push_async_callback(parts.upkeep.close)
        stack.push_async_callback(parts.leftovers.close)
        stack.push_async_callback(parts.operations.close)
        await _load(parts)
        parts.reader.start()
        await parts.access.start()
        stack.push_async_callback(parts.access.close)
        opening = asyncio.create_task(parts.inventory.open(), name="opening hosts")
        settling = asyncio.create_task(settle_all(parts.operations, parts.inventory), name="settling")
        comparing = asyncio.create_task(parts.reconciler.run(), name="reconciler")
        forgetting = asyncio.create_task(keep_house(parts.database), name="housekeeping")
        collecting = asyncio.create_task(parts.metrics.run(), name="collector")
        stack.push_async_callback(_cancel, opening, settling, comparing, forgetting, collecting)
        yield parts


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _build(settings: Settings, database: Database, hypervisors: list[str]) -> Parts:
    async def first(connection: Connection) -> tuple[UUID, list[HostRow], int]:
        instance = await database_repository.instance(connection)
        hosts = [await hosts_repository.known_as(connection, uri) for uri in hypervisors]
        # A number of its own: whoever comes back with an older one gets everything anew, for things may have
        # changed while no server looked.
        await append(connection, [_started()])
        return instance, hosts, await last_seq(connection)

    instance, hosts, seq = await database.run(first)
    bell: list[OutboxReader] = []

    def ring() -> None:
        for reader in bell:
            reader.ring()

    ledger = Ledger(database, ring)
    placement = Placement(instance, settings.data_dir)
    inventory = Inventory(ledger, hosts, virtualization=settings.virtualization, own_tier=placement.own_tier)
    hub = Hub(inventory.picture)
    reader = OutboxReader(database, seq, hub.fold, on_health=Outage(hub, inventory.publisher).health)
    inventory.publisher.on_unlogged = hub.tell_unlogged
    bell.append(reader)
    operations = Operations(database, ledger, inventory.picture.operations)
    images = Images(settings.data_dir / "images")
    access = Access(database, settings.data_dir, ring, open_registration=settings.open_registration)
    access.on_session_end.append(hub.end_session)
    leftovers = Leftovers(database, inventory)
    volumes = Volumes(database, ledger, inventory, operations, leftovers)
    tiers = Tiers(inventory, operations)
    moves = Moves(database, ledger, inventory, operations, leftovers)
    upkeep = Upkeep(inventory, placement)
    vms = VMs(database, ledger, inventory, operations, images, placement)
    reconciler = Reconciler(database, ledger, inventory, placement)
    origins = frozenset(settings.origins)
    metrics = Measuring(database, inventory, settings)
    inventory.picture.storage.rates_of = rates_on(metrics.board)
    samples = Samples(metrics.board, inventory.picture)
    stream = Stream(hub, inventory, access.authenticate, access.take_ticket, samples, origins=origins)
    return Parts(
        settings=settings,
        database=database,
        ledger=ledger,
        access=access,
        inventory=inventory,
        operations=operations,
        reader=reader,
        hub=hub,
        images=images,
        vms=vms,
        volumes=volumes,
        tiers=tiers,
        moves=moves,
        upkeep=upkeep,
        leftovers=leftovers,
        stream=stream,
        reconciler=reconciler,
        metrics=metrics,
    )


def _started() -> Draft:
    target = Target(type="system", id="server", name=__version__)
    return Draft(type="system.started", source="server", target=target, tenant=SHARED, priority=Priority.NORMAL)


async def _load(parts: Parts) -> None:
    """The rows as they stand at the number from which events will be read."""

    async def rows(connection: Connection) -> None:
        unended = [stored.operation for stored in await operations_repository.unended(connection)]
        recent = await operations_repository.recent(connection, _RECENT_OPERATIONS)
        parts.inventory.picture.load(
            await vms_repository.all_rows(connection),
            await volumes_repository.all_rows(connection),
            {operation.id: operation for operation in [*recent, *unended]}.values(),
            parts.reader.last_seq,
            await tiers_repository.all_rows(connection),
        )

    await parts.database.run(rows, read_only=True)
    await parts.leftovers.load()
    parts.hub.begin()


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
