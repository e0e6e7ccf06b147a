"""The addresses that libvirt's own networks gave out: DHCP leases, by MAC address.

A guest with a fixed address, or on a bridge, has none here; only an agent in the guest could tell.
"""

from __future__ import annotations

from typing import Any

import libvirt
import structlog

_log = structlog.get_logger(__name__)
Addresses = dict[str, tuple[str, ...]]
"""MAC address in lower case → IP addresses, in order."""


def read_addresses(connection: Any) -> Addresses:
    """The leases of all active networks. A network that cannot tell (the simulator's) has none. Raises libvirtError."""
    found: dict[str, set[str]] = {}
    for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
        for lease in _leases(network):
            found.setdefault(str(lease["mac"]).lower(), set()).add(str(lease["ipaddr"]))
    return {mac: tuple(sorted(addresses)) for mac, addresses in found.items()}


def _leases(network: Any) -> list[dict[str, Any]]:
    try:
        return list(network.DHCPLeases())
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
            _log.warning("the leases of a network cannot be read", network=network.name(), error=str(error))
        return []
