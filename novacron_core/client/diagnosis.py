"""Finds out why a connection failed, where the exception alone does not tell, by another look at the server."""

from __future__ import annotations

from novacron_core import errors
from novacron_core.client import certificates, failures
from novacron_core.client.route import Route

_LOOK_S = 2.0


async def explain(e: Exception, route: Route) -> errors.NovaCronError:
    """The error for an exception of a call or of the event stream on this route."""
    for cause in failures.causes(e):
        if isinstance(cause, certificates.CertificateChanged):
            expected, shown = cause.args
            return errors.UntrustedServer(await _changed(route, expected, shown))
    plain = route.url.startswith("http:") and not route.proxy
    if plain and failures.no_valid_answer(e) and await certificates.speaks_tls(_secured(route), _LOOK_S):
        return errors.ServerUnreachable(f"{route.url} uses TLS: give {_secured(route).url}")
    return failures.unreachable(e, route)


async def _changed(route: Route, expected: str, shown: str) -> str:
    try:
        seen = await certificates.fetch_certificate(route.url)
    except errors.NovaCronError:
        seen = None
    standing = seen.standing if seen is not None and seen.fingerprint == shown else ""
    return changed_certificate(route.url, expected, shown, standing)


def changed_certificate(url: str, expected: str, shown: str, standing: str) -> str:
    """The sentence for a certificate that is not the pinned one. `standing`: how this system sees the new one."""
    about = f" ({standing})" if standing else ""
    return (
        f"the certificate of {url} has changed: expected {expected}, got {shown}{about}. "
        f"If this is expected, run: novacron login --server {url} --certificate {shown}"
    )


def _secured(route: Route) -> Route:
    return Route(f"https{route.url.removeprefix('http')}")
