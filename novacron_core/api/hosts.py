"""Hosts: the machines that run VMs."""

from __future__ import annotations

from novacron_core.api.base import ListQuery, Page, Time, Value
from novacron_core.api.endpoint import endpoint
from novacron_core.values.open_enum import OpenEnum
from novacron_core.values.roles import Permission as P


class HostStatus(OpenEnum):
    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"


class Host(Value, frozen=True):
    """A libvirt host. `id` identifies its URI. `seen_at` is the time of its last answer; `detail` says why it is
    down."""

    id: str
    name: str
    uri: str
    status: HostStatus
    simulated: bool = False
    virtualization: str = ""
    """`kvm` where hardware virtualization works, `qemu` where guests are emulated, `test` for the simulator."""
    detail: str = ""
    seen_at: Time | None = None
    latency_ms: float | None = None
    cpus: int | None = None
    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    libvirt_version: str = ""
    hypervisor_version: str = ""
    networks: list[str] = []
    """Names of active networks."""


LIST = endpoint("GET /api/hosts", Page[Host], P.HOST_READ, query=ListQuery, summary="List hosts")
GET = endpoint("GET /api/hosts/{host_id}", Host, P.HOST_READ, summary="Get a host")
