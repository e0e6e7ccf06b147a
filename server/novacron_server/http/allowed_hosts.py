"""Refuses requests that are addressed to another name: a web page can point its own name at this machine.

Such a page (DNS rebinding) could read what needs no token. Its Host header is the page's name, so an address or
localhost is always right. Over TLS a browser compares the name with the certificate, so there any name is right unless
names are given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\[\]:]+))(?::\d{1,5})?")


class AllowedHosts:
    """The names under which clients may address this server, besides its addresses and localhost. Empty: any name over
    TLS, none without."""

    def __init__(self, names: Iterable[str] = (), *, tls: bool = False) -> None:
        self._names = frozenset(name.rstrip(".").lower() for name in names)
        self._any = tls and not self._names
        self._admits = lru_cache(maxsize=256)(self._is_ours)

    def admits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers is for this server. HTTP/1.0 may come without a Host."""
        given = [value.decode("latin-1") for name, value in headers if name == b"host"]
        return len(given) <= 1 and all(self._admits(host) for host in given)

    def _is_ours(self, host: str) -> bool:
        match = _HOST.fullmatch(host.strip())
        if match is None:
            return False
        name = (match["v6"] or match["name"]).rstrip(".").lower()
        return (
            self._any or name == "localhost" or name.endswith(".localhost") or name in self._names or _is_address(name)
        )


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
