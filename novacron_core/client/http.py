"""The HTTP client of a route."""

from __future__ import annotations

import ssl

import httpx

from novacron_core import __version__, errors
from novacron_core.client.route import Route

try:
    from socksio import SOCKSError
except ImportError:  # without the extra `socks` there is no route through a SOCKS proxy

    class SOCKSError(Exception):  # type: ignore[no-redef]
        """Never raised."""


CONNECTION_ERRORS = (httpx.TransportError, httpx.InvalidURL, UnicodeError, SOCKSError)
"""What a call raises when it gets no answer. httpx passes the exceptions of its SOCKS library on as they are."""


def new_http(
    route: Route,
    tls: ssl.SSLContext | None,
    timeout: httpx.Timeout,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """An HTTP client for the server of a route, through its proxy. Of the environment only `route` is used: not
    httpx's own rules for proxies. Raises InvalidSetting for a host that no name can have."""
    try:
        return _new_http(route, tls, timeout, transport)
    except httpx.InvalidURL as e:
        raise errors.InvalidSetting("the host in the server URL is not a valid name") from e


def _new_http(
    route: Route, tls: ssl.SSLContext | None, timeout: httpx.Timeout, transport: httpx.AsyncBaseTransport | None
) -> httpx.AsyncClient:
    proxy = httpx.Proxy(route.proxy, ssl_context=_of_proxy(route)) if route.proxy and transport is None else None
    return httpx.AsyncClient(
        base_url=route.url,
        timeout=timeout,
        headers={"User-Agent": f"novacron/{__version__}"},
        transport=transport,
        verify=tls or False,  # a plain HTTP connection has nothing to verify
        proxy=proxy,
        trust_env=False,
    )


def _of_proxy(route: Route) -> ssl.SSLContext | None:
    return ssl.create_default_context() if route.proxy.startswith("https") else None
