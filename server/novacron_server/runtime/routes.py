"""The routing table: connects the routes of all packages to the parts of a server."""

from __future__ import annotations

from novacron_server.audit import routes as audit_routes
from novacron_server.console_logs import routes as console_logs_routes
from novacron_server.events import routes as events_routes
from novacron_server.health import routes as health_routes
from novacron_server.hosts import routes as hosts_routes
from novacron_server.http.allowed_hosts import AllowedHosts
from novacron_server.http.application import create_application
from novacron_server.http.call import Served
from novacron_server.http.filter_budget import FilterBudget
from novacron_server.http.limits import RateLimits
from novacron_server.http.middleware import Middleware
from novacron_server.http.tls import Certificate
from novacron_server.images import routes as images_routes
from novacron_server.metrics import routes as metrics_routes
from novacron_server.metrics.exporter import Exporter
from novacron_server.metrics.scrape_access import ScrapeAccess
from novacron_server.operations import routes as operations_routes
from novacron_server.pools import routes as pools_routes
from novacron_server.quotas import routes as quotas_routes
from novacron_server.runtime.settings import Settings
from novacron_server.runtime.wiring import HeatParts, Parts
from novacron_server.tiering import routes as tiering_routes
from novacron_server.tiers import routes as tiers_routes
from novacron_server.vms import routes as vms_routes
from novacron_server.vms.bulk import routes as bulk_routes
from novacron_server.vms.ownership import routes as ownership_routes
from novacron_server.volumes import routes as volumes_routes
from novacron_server.volumes.past_moves import PastMoves


def create_app(parts: Parts, certificate: Certificate | None = None) -> Middleware:
    """The ASGI application of a running server."""
    settings = parts.settings
    limits = RateLimits(
        requests=settings.requests_per_minute,
        sign_in=settings.sign_ins_per_minute,
        sockets=settings.sockets_per_minute,
    )
    return create_application(
        served(parts, certificate),
        [parts.stream.handler(), parts.consoles.socket.handler()],
        parts.access.authenticate,
        limits,
        tls=settings.tls,
        origins=settings.origins,
        stale_since=lambda: parts.hub.database_away_since,
        filters=FilterBudget(lambda: _count_objects(parts)),
        allowed_hosts=AllowedHosts(settings.host_names, tls=settings.tls),
        trusts_request_ids=bool(settings.behind_proxy),
        user_of=parts.access.user_of,
        on_refused=parts.audit.refusals.note,
    )


def _count_objects(parts: Parts) -> int:
    """How many objects a filter may be compared with: VMs and volumes."""
    state = parts.inventory.state
    return len(state.known) + len(state.storage.volume_rows)


def served(parts: Parts, certificate: Certificate | None = None) -> list[Served]:
    """All rows of the routing table."""
    nouns = [
        *parts.access_services.routes(),
        *vms_routes.routes(parts.vms),
        *bulk_routes.routes(parts.bulks, parts.access_services.people),
        *ownership_routes.routes(parts.ownership),
        *console_logs_routes.routes(parts.consoles.logs),
        *operations_routes.routes(parts.operations),
        *events_routes.routes(parts.events),
        *hosts_routes.routes(parts.inventory),
        *images_routes.routes(parts.images, lambda action, name: parts.audit.log.recorded(action, "image", name)),
        *volumes_routes.routes(parts.volumes, PastMoves(parts.database, parts.inventory)),
        *pools_routes.routes(parts.pools, parts.inventory),
        *metrics_routes.routes(parts.metrics, _exporter(parts), _scrape_access(parts.settings)),
        *tiers_routes.routes(parts.inventory),
        *_heat(parts.heat),
        *quotas_routes.routes(parts.database),
        *audit_routes.routes(parts.audit.log),
    ]
    listed = sorted({row.endpoint.key for row in nouns})
    health = health_routes.routes(
        parts.database,
        parts.inventory,
        parts.settings.data_dir,
        metrics_problem=lambda: parts.metrics.history.problem,
        background=parts.background.check,
        endpoints=listed,
        setup_required=parts.access.setup_required,
        tls_problem=lambda: certificate.problem if certificate else "",
        open_registration=parts.settings.open_registration,
    )
    return [*nouns, *health]


def _heat(heat: HeatParts) -> list[Served]:
    return tiering_routes.routes(heat.service, heat.advisor, heat.policies, heat.automatic, heat.decisions)


def _exporter(parts: Parts) -> Exporter:
    gauges = {
        "novacron_database_up": ("Whether the database answers.", lambda: float(not parts.hub.database_away_since)),
        "novacron_stream_listeners": ("Open event streams.", lambda: float(parts.hub.listeners)),
        "novacron_operations_running": ("Operations that are running.", lambda: float(parts.inventory.state.running())),
        "novacron_events_waiting": ("Events not yet stored.", lambda: float(parts.inventory.publisher.waiting)),
    }
    return Exporter(parts.inventory, parts.metrics.latest, parts.metrics.history, gauges)


def _scrape_access(settings: Settings) -> ScrapeAccess:
    return ScrapeAccess(settings.data_dir, settings.prometheus, behind_proxy=bool(settings.behind_proxy))
