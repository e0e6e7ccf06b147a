"""Health checks and server information."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from novacron_core.api.base import Request, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.roles import Permission as P


class DatabaseCheck(Value, frozen=True):
    status: str
    """`healthy` or `unhealthy`."""
    latency_ms: float | None = None
    kind: str = ""
    """`embedded` or `external`."""
    detail: str = ""
    """Why changes are refused although the database answers."""


class HostCheck(Value, frozen=True):
    id: str
    name: str
    status: str
    simulated: bool


class HypervisorCheck(Value, frozen=True):
    status: str
    """`healthy` (all hosts up), `degraded` (some) or `unhealthy` (none)."""
    hosts: list[HostCheck] = []


class StorageCheck(Value, frozen=True):
    status: str


class MetricsCheck(Value, frozen=True):
    """`degraded` when metrics are shown but not all of them are stored; this alone does not make a server unhealthy."""

    status: str = "healthy"
    detail: str = ""


class TaskCheck(Value, frozen=True):
    """A background task: `healthy`, `degraded` (it failed within the last minute) or `restarting`."""

    name: str
    status: str
    restarts: int = 0
    failed_at: Time | None = None


class BackgroundCheck(Value, frozen=True):
    """`degraded` where a background task fails; it is started again, so that alone makes no server unhealthy."""

    status: str = "healthy"
    tasks: list[TaskCheck] = []

    @property
    def failing(self) -> list[str]:
        """The names of the tasks that have failed lately."""
        return [task.name for task in self.tasks if task.status != "healthy"]


class CertificateCheck(Value, frozen=True):
    """`degraded` when the files of the TLS certificate have changed and cannot be used: the old ones still are."""

    status: str = "healthy"
    detail: str = ""


class Checks(Value, frozen=True):
    database: DatabaseCheck
    hypervisor: HypervisorCheck
    storage: StorageCheck
    metrics: MetricsCheck = MetricsCheck()
    background: BackgroundCheck = BackgroundCheck()
    certificate: CertificateCheck = CertificateCheck()


class Health(Value, frozen=True):
    """`status`: `healthy`, `degraded` (a background task fails; answered with 200) or `unhealthy`. Who is not signed in
    gets the states alone: no version, no names, no ids."""

    status: str
    version: str
    service: str
    timestamp: Time
    checks: Checks


class Liveness(Value, frozen=True):
    """`degraded`: the background tasks that have failed lately; the server handles requests meanwhile."""

    status: str
    degraded: list[str] = []


class ServerInfo(Value, frozen=True):
    """`setup_required`: no account exists yet. `registration`: `closed` or `open`. `version` and `endpoints` are empty for
    who is not signed in; `protocol` says whether a console can talk to this server."""

    name: str
    version: str
    protocol: int
    description: str
    endpoints: list[str]
    documentation: str
    setup_required: bool
    registration: str


class ProofQuery(Request, frozen=True):
    """`nonce`: random hexadecimal digits that were never sent before."""

    nonce: Annotated[str, Meta(pattern=r"^[0-9a-f]{32,128}$(?!\n)")]


class Proof(Value, frozen=True):
    """An HMAC of the nonce and of the port that was asked, see local_server.make_proof."""

    proof: str


HEALTH = endpoint(
    "GET /health", Health, P.PUBLIC, summary="Health of the server and its components; 503 when unhealthy"
)
LIVEZ = endpoint("GET /livez", Liveness, P.PUBLIC, summary="Liveness: the process is running")
READYZ = endpoint("GET /readyz", Liveness, P.PUBLIC, summary="Readiness: the server can handle requests")
INFO = endpoint("GET /api/info", ServerInfo, P.PUBLIC, summary="Server name, version and settings")
PROOF = endpoint(
    "GET /api/proof", Proof, P.PUBLIC, query=ProofQuery, summary="Proof that this server owns its data directory"
)
