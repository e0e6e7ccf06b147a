"""Display names of hosts: made distinct when several hosts have the same name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from urllib.parse import urlsplit

from novacron_core.api.hosts import Host

_SHORT = 4


class HostNames:
    """Caches the names for each version of the hosts."""

    def __init__(self) -> None:
        self._known: tuple[int, dict[str, str]] = (-1, {})

    def of(self, host_id: str, hosts: Mapping[str, Host], version: int) -> str:
        """The name of a host; its id when the host is unknown."""
        if self._known[0] != version:
            self._known = (version, _distinct_names(hosts))
        return self._known[1].get(host_id, host_id)


def _distinct_names(hosts: Mapping[str, Host]) -> dict[str, str]:
    """Names by id. A name used by several hosts is followed by the host's address, or by the start of its id when the
    address is not unique either."""
    name_counts = Counter(host.name for host in hosts.values())
    address_counts = Counter((host.name, _address(host)) for host in hosts.values())
    names = {}
    for key, host in hosts.items():
        address = _address(host)
        is_unique = address and address_counts[host.name, address] == 1
        names[key] = (
            host.name if name_counts[host.name] == 1 else f"{host.name} {address if is_unique else key[:_SHORT]}"
        )
    return names


def _address(host: Host) -> str:
    try:
        return urlsplit(host.uri).hostname or ""
    except ValueError:
        return ""
