"""The DHCP leases of libvirt's own networks, by MAC address.

A guest with a static address, or on a bridge, has no lease here; only a guest agent could report its address.
"""

from __future__ import annotations

from typing import Any

import libvirt

from novacron_server.hypervisor.unreadable import skip_unreadable

Addresses = dict[str, tuple[str, ...]]
"""MAC address in lower case → IP addresses, in order."""


def read_addresses(connection: Any) -> Addresses:
    """The leases of all active networks; none if a network does not support leases. Raises libvirtError."""
    found: dict[str, set[str]] = {}
    for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
        for lease in _leases(connection, network):
            found.setdefault(str(lease["mac"]).lower(), set()).add(str(lease["ipaddr"]))
    return {mac: tuple(sorted(addresses)) for mac, addresses in found.items()}


def _leases(connection: Any, network: Any) -> list[dict[str, Any]]:
    try:
        return [lease for lease in network.DHCPLeases() if lease.get("mac") and lease.get("ipaddr")]
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
            skip_unreadable(connection, "network's DHCP leases", network, error)
    except ValueError as error:
        skip_unreadable(connection, "network's DHCP leases", network, error)
    return []
