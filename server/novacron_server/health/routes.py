"""The routes `/health`, `/livez`, `/readyz` and `/api/info`, for monitoring and for a console's first request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from shutil import disk_usage

from novacron_core import PROTOCOL, __version__, errors
from novacron_core.api import health as api
from novacron_core.api.base import Nothing
from novacron_core.api.hosts import HostStatus
from novacron_core.local_server import KEY, make_proof
from novacron_core.rules.visibility import may
from novacron_core.values.roles import Permission
from novacron_server.database.private_files import read_or_create_secret
from novacron_server.database.transactions import Database
from novacron_server.file_calls import FILE_CALLS, DoesNotRespond
from novacron_server.http.call import Call, Reply, Served, serve
from novacron_server.inventory.inventory import Inventory

SERVICE = "novacron-api"
_DESCRIPTION = "The terminal control room for virtual machines"
_LOW_DISK_BYTES = 256 << 20

EmptyCall = Call[Nothing, Nothing]


def routes(
    database: Database,
    inventory: Inventory,
    data_dir: Path,
    *,
    metrics_problem: Callable[[], str],
    background: Callable[[], api.BackgroundCheck],
    endpoints: list[str],
    setup_required: Callable[[], Awaitable[bool]],
    tls_problem: Callable[[], str] = lambda: "",
    open_registration: bool = False,
) -> list[Served]:
    @serve(api.HEALTH)
    async def health(call: EmptyCall) -> api.Health | Reply[api.Health]:
        problem = metrics_problem()
        known = call.who is not None
        checks = api.Checks(
            database=await _database(database),
            hypervisor=_hypervisor(inventory, names=call.who is not None and may(call.who, Permission.HOST_READ)),
            storage=await _storage(data_dir),
            metrics=api.MetricsCheck(status="degraded" if problem else "healthy", detail=problem),
            background=background(),
            certificate=api.CertificateCheck(status="degraded" if tls_problem() else "healthy", detail=tls_problem()),
        )
        bad = "unhealthy" in (checks.database.status, checks.hypervisor.status, checks.storage.status)
        value = api.Health(
            status="unhealthy" if bad else "degraded" if checks.certificate.detail else checks.background.status,
            version=__version__ if known else "",
            service=SERVICE,
            timestamp=datetime.now(UTC),
            checks=checks if known else _for_strangers(checks),
        )
        return Reply(value, status=503) if bad else value

    @serve(api.LIVEZ)
    async def livez(call: EmptyCall) -> api.Liveness:
        return api.Liveness(status="alive")

    @serve(api.READYZ)
    async def readyz(call: EmptyCall) -> api.Liveness | Reply[api.Liveness]:
        ready = (await _database(database)).status == "healthy"
        if not ready:
            return Reply(api.Liveness(status="not ready"), status=503)
        return api.Liveness(status="ready", degraded=background().failing if call.who else [])

    @serve(api.INFO)
    async def info(call: EmptyCall) -> api.ServerInfo:
        return api.ServerInfo(
            name="NovaCron",
            version=__version__ if call.who else "",
            protocol=PROTOCOL,
            description=_DESCRIPTION,
            endpoints=endpoints if call.who else [],
            documentation="/openapi.json",
            setup_required=await setup_required(),
            registration="open" if open_registration else "closed",
        )

    proof_key = read_or_create_secret(data_dir / KEY)

    @serve(api.PROOF)
    async def proof(call: Call[api.ProofQuery, Nothing]) -> api.Proof:
        return api.Proof(proof=make_proof(proof_key, call.query.nonce, call.local_port))

    return [health, livez, readyz, info, proof]


def _for_strangers(checks: api.Checks) -> api.Checks:
    """The states alone: what a monitor needs. Names, ids, numbers and sentences are for those who are signed in."""
    return api.Checks(
        database=api.DatabaseCheck(status=checks.database.status),
        hypervisor=api.HypervisorCheck(status=checks.hypervisor.status),
        storage=checks.storage,
        metrics=api.MetricsCheck(status=checks.metrics.status),
        background=api.BackgroundCheck(status=checks.background.status),
        certificate=api.CertificateCheck(status=checks.certificate.status),
    )


async def _database(database: Database) -> api.DatabaseCheck:
    try:
        latency_ms = await database.ping()
    except errors.DatabaseUnavailable as e:
        return api.DatabaseCheck(status="unhealthy", kind=database.kind, detail=e.detail)
    status, refusal = ("unhealthy", database.refusal) if database.refusal else ("healthy", "")
    return api.DatabaseCheck(status=status, latency_ms=round(latency_ms, 2), kind=database.kind, detail=refusal)


def _hypervisor(inventory: Inventory, *, names: bool) -> api.HypervisorCheck:
    """`names`: the hosts too, each with its state."""
    views = list(inventory.state.views.values())
    named = views if names else []
    hosts = [api.HostCheck(id=v.id, name=v.name, status=str(v.status), simulated=v.simulated) for v in named]
    up = sum(view.status is HostStatus.UP for view in views)
    status = "unhealthy" if not up else "healthy" if up == len(views) else "degraded"
    return api.HypervisorCheck(status=status, hosts=hosts)


async def _storage(data_dir: Path) -> api.StorageCheck:
    try:
        free = (await FILE_CALLS.call(str(data_dir), lambda: disk_usage(data_dir))).free
    except (OSError, DoesNotRespond):
        return api.StorageCheck(status="unhealthy")
    return api.StorageCheck(status="healthy" if free > _LOW_DISK_BYTES else "unhealthy")
