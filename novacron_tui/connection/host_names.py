"""What hosts are called: by their name, and two of the same name so that one can tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from urllib.parse import urlsplit

from novacron_core.api.hosts import Host

_SHORT = 4


class HostNames:
    """Worked out once for each version of the hosts."""

    def __init__(self) -> None:
        self._known: tuple[int, dict[str, str]] = (-1, {})

    def of(self, host_id: str, hosts: Mapping[str, Host], version: int) -> str:
        """A host's name; its id where the host is not known."""
        if self._known[0] != version:
            self._known = (version, _told_apart(hosts))
        return self._known[1].get(host_id, host_id)


def _told_apart(hosts: Mapping[str, Host]) -> dict[str, str]:
    """A name that several bear is told with the address the host is reached at, or where that tells nothing, with the
    beginning of its id."""
    named = Counter(host.name for host in hosts.values())
    at = Counter((host.name, _address(host)) for host in hosts.values())
    names = {}
    for key, host in hosts.items():
        address = _address(host)
        alone = address and at[host.name, address] == 1
        names[key] = host.name if named[host.name] == 1 else f"{host.name} {address if alone else key[:_SHORT]}"
    return names


def _address(host: Host) -> str:
    try:
        return urlsplit(host.uri).hostname or ""
    except ValueError:
        return ""
