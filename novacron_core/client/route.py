"""How a server is reached: directly or through a proxy. Calls, the event stream and the look at a certificate all use
the same route.

This machine's own addresses are never reached through a proxy. For all others the environment decides, as it does for
curl: `HTTP_PROXY` or `HTTPS_PROXY` by the scheme of the server's URL, else `ALL_PROXY`, in lower or upper case; the
servers in `NO_PROXY` are reached directly. Names of servers are resolved by the proxy, also by `socks5://` ones.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, quote, unquote, urlsplit

from novacron_core import errors

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SHORT_IPV4 = re.compile(r"[0-9a-fx.]+")
_SOCKS_MODULES = ("socksio", "python_socks")
"""The libraries of the extra `socks`: for calls, and for the event stream."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the server at `url`. `proxy` is the URL of the proxy, with its password: never part of a sentence;
    "" for none. `variable` is the environment variable that names it."""

    url: str
    proxy: str = field(default="", repr=False)
    variable: str = ""

    @property
    def shown_proxy(self) -> str:
        """The proxy without user and password."""
        parts = urlsplit(self.proxy)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    @property
    def server(self) -> str:
        """The server as `host:port`."""
        parts = urlsplit(self.url)
        return f"{_bracketed(parts.hostname or '')}:{_port_of(parts)}"

    @property
    def forwards(self) -> bool:
        """Whether the proxy itself answers requests, instead of passing bytes: plain HTTP through an HTTP proxy."""
        return self.proxy.startswith("http") and self.url.startswith("http:")


def route_to(url: str, environ: Mapping[str, str] = os.environ) -> Route:
    """The route to a server. Raises InvalidSetting for a variable that names no usable proxy, ServerUnreachable when
    the library for a SOCKS proxy is not installed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return Route(url)
    variable, value = _chosen(parts.scheme, environ)
    if not value or _is_excepted(host, _port_of(parts), environ):
        return Route(url)
    proxy = _proxy_url(variable, value)
    route = Route(url, proxy, variable)
    if proxy.startswith("socks") and not all(map(importlib.util.find_spec, _SOCKS_MODULES)):
        raise errors.ServerUnreachable(
            f"the proxy {route.shown_proxy} (from {variable}) is a SOCKS proxy, which needs an optional part of "
            "NovaCron: pip install 'novacron[socks]'"
        )
    return route


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own: 127.0.0.0/8 in any spelling, ::1, localhost."""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return _is_short_loopback(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_short_loopback(host: str) -> bool:
    """Whether a text is an IPv4 loopback address in another spelling that connect(2) accepts, like 127.1."""
    if not _SHORT_IPV4.fullmatch(host):
        return False
    try:
        return socket.inet_aton(host)[0] == 127
    except OSError:
        return False


def _chosen(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """(variable, value) of the proxy for a URL's scheme. A variable in lower case overrides one in upper case; when it
    is empty, it switches the proxy off."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if variable in environ:
                return variable, environ[variable].strip()
    return "", ""


def _is_excepted(host: str, port: int, environ: Mapping[str, str]) -> bool:
    exceptions = environ.get("no_proxy", environ.get("NO_PROXY", ""))
    return any(_matches(entry, host.lower(), port) for entry in exceptions.replace(",", " ").split())


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means this server: `*`, a domain with all below it, an address, or a network; each
    but the first may have a port."""
    name = entry.lower()
    if name == "*":
        return True
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", name)
    if bracketed:
        name, wanted = bracketed[1], bracketed[2]
    elif name.count(":") == 1:
        name, _, wanted = name.partition(":")
    else:
        wanted = None
    if wanted and wanted != str(port):
        return False
    try:
        return ip_address(host.partition("%")[0]) in ip_network(name, strict=False)
    except ValueError:
        domain = name.removeprefix("*").lstrip(".").rstrip(".")
        return bool(domain) and f".{host.rstrip('.')}".endswith(f".{domain}")


def _proxy_url(variable: str, value: str) -> str:
    """A proxy's URL in the form that all libraries read alike: with a port, and a password when there is a user."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        if parts.scheme not in _PORTS or not value.isascii() or not value.isprintable() or " " in value or not host:
            raise ValueError
    except (ValueError, KeyError):
        raise errors.InvalidSetting(
            f"{variable} is not the address of a proxy: give it as http://host:port, or with https://, socks5:// or "
            "socks5h://"
        ) from None
    user = "".join(_user_info(parts))
    return f"{parts.scheme}://{user}{_bracketed(host)}:{port}"


def _user_info(parts: SplitResult) -> Iterator[str]:
    if parts.username is not None:
        yield quote(unquote(parts.username), safe="")
        yield f":{quote(unquote(parts.password or ''), safe='')}@"


def _port_of(parts: SplitResult) -> int:
    return parts.port or _PORTS.get(parts.scheme, 80)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
