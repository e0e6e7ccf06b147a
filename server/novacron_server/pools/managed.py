"""The managed pools of an installation. Their names and UUIDs never collide with those of another installation."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from novacron_core.values.tiers import TIERS
from novacron_server.hypervisor.facts import HostFacts
from novacron_server.hypervisor.host import LibvirtHost
from novacron_server.hypervisor.specs import PoolSpec

_LIBVIRT_IMAGES = "/var/lib/libvirt/images"


class ManagedPools:
    """`instance` is the installation's UUID. On this machine, `data_dir` holds the pools of root or a session."""

    def __init__(self, instance: UUID, data_dir: Path) -> None:
        self.instance = instance
        self._data_dir = data_dir

    def pool(self, host: LibvirtHost, tier: str = TIERS[0]) -> PoolSpec:
        """The managed pool of this tier on this host."""
        name = self._name(tier)
        return PoolSpec(uuid=self._uuid(host.host_id, tier), name=name, path=self._path(host, name, tier))

    def simulated_pool(self, host_id: str, tier: str) -> PoolSpec:
        """The managed pool of this tier on a simulated host that is not connected yet."""
        name = self._name(tier)
        return PoolSpec(uuid=self._uuid(host_id, tier), name=name, path=_simulated_path(name))

    def managed_tier(self, host_id: str, pool_uuid: str) -> str | None:
        """The tier of a managed pool, None for any other pool."""
        return next((tier for tier in TIERS if self._uuid(host_id, tier) == pool_uuid), None)

    def _name(self, tier: str) -> str:
        return f"novacron-{self.instance.hex[:8]}-{tier}"

    def _uuid(self, host_id: str, tier: str) -> str:
        return str(uuid5(self.instance, f"{host_id}/{tier}"))

    def _path(self, host: LibvirtHost, name: str, tier: str) -> str:
        if _simulated(host.facts):
            return _simulated_path(name)
        if _on_this_machine(host.uri) and (os.geteuid() == 0 or host.uri.endswith("/session")):
            return str(self._data_dir / "pools" / tier)
        return f"{_LIBVIRT_IMAGES}/{name}"


def _simulated_path(name: str) -> str:
    return f"/novacron/{name}"


def _simulated(facts: HostFacts | None) -> bool:
    return facts is not None and facts.simulated


def _on_this_machine(uri: str) -> bool:
    return not urlsplit(uri).netloc and "+ssh" not in uri and "+tls" not in uri
