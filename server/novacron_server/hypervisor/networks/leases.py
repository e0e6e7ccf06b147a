"""The DHCP leases of libvirt's own networks, by MAC address.

A guest with a static address, or on a bridge, has no lease here; only a guest agent could report its address.
"""

from __future__ import annotations

from typing import Any

import libvirt
import structlog

_log = structlog.get_logger(__name__)
Addresses = dict[str, tuple[str, ...]]
"""MAC address in lower case → IP addresses, in order."""


def read_addresses(connection: Any) -> Addresses:
    """The leases of all active networks; none if a network does not support leases. Raises libvirtError."""
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
            _log.warning("cannot read the DHCP leases of a network", network=network.name(), error=str(error))
        return []
