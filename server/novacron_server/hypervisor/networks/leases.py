"""The DHCP leases of libvirt's own networks, by network and MAC address.

A guest with a static address, or on a bridge, has no lease here; only a guest agent could report its address.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Any

import libvirt

from novacron_server.hypervisor.unreadable import skip_unreadable

Addresses = dict[tuple[str, str], tuple[str, ...]]
"""(the network's name or the name of its bridge, MAC address in lower case) → IP addresses, the newest lease first.

Two networks may each have a guest of the same MAC address."""


def read_addresses(connection: Any) -> Addresses:
    """The leases of all active networks; none of a network, or of a host, that does not support them. Raises
    libvirtError when the connection is lost."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for network in _active_networks(connection):
        leases = _leases(connection, network)
        for name in _names(network) if leases else ():
            for lease in leases:
                expiries = found.setdefault((name, str(lease["mac"]).lower()), {})
                address, expires_at = str(lease["ipaddr"]), int(lease.get("expirytime") or 0)
                expiries[address] = max(expires_at, expiries.get(address, 0))
    return {key: tuple(sorted(expiries, key=partial(_newest_first, expiries))) for key, expiries in found.items()}


def _newest_first(expiries: dict[str, int], address: str) -> tuple[int, int, int, str]:
    return -expiries[address], *_in_order(address)


def _active_networks(connection: Any) -> list[Any]:
    try:
        return list(connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE))
    except libvirt.libvirtError:
        if not connection.isAlive():
            raise
        return []  # a host may have no network driver


def _names(network: Any) -> list[str]:
    """The names by which a guest's interface may refer to the network."""
    names = [str(network.name())]
    with suppress(libvirt.libvirtError, ValueError):  # a network without a bridge of its own
        names.append(str(network.bridgeName()))
    return names


def _in_order(address: str) -> tuple[int, int, str]:
    try:
        parsed = ip_address(address)
    except ValueError:
        return 99, 0, address
    return parsed.version, int(parsed), address


def _leases(connection: Any, network: Any) -> list[dict[str, Any]]:
    try:
        return [lease for lease in network.DHCPLeases() if lease.get("mac") and lease.get("ipaddr")]
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_INVALID):
            skip_unreadable(connection, "network's DHCP leases", network, error)
    except ValueError as error:
        skip_unreadable(connection, "network's DHCP leases", network, error)
    return []
