"""The sentence for a connection that failed: which hop, why, and what to do.

Sentences are built from known parts only. The texts of exceptions of other libraries are never passed on: they contain
headers, and so tokens, or URLs with passwords.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import InvalidHandshake, InvalidProxyStatus, ProxyError

from novacron_core import errors
from novacron_core.client.route import Route

SERVER_HANDSHAKE = "in the TLS handshake with the server"
"""A note on exceptions of the handshake with the server, which an HTTPS proxy has too."""

_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""X509_V_ERR_* of OpenSSL's x509_vfy.h. They are reported only for certificates that an authority signed."""
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG",
                     "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE"})  # fmt: skip
"""What OpenSSL reports when the other side does not speak TLS."""
_DEMANDS = (
    "demands a certificate from the client, which NovaCron cannot give: let NovaCron's requests through without one"
)
_CERTIFICATE_WANTED = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED"})
"""What OpenSSL reports when a TLS 1.3 server requires a client certificate. TLS 1.2 reports a generic failure."""


def unreachable(e: BaseException, route: Route) -> errors.NovaCronError:
    """The error for an exception of a connection on this route: UntrustedServer, or ServerUnreachable."""
    chain = list(causes(e))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, chain, route)
    return errors.ServerUnreachable(_sentence(chain, route))


def causes(e: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it, the members of groups included, each once."""
    waiting, seen = [e], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
        waiting += [next_one for next_one in (current.__cause__, current.__context__) if next_one is not None]


def no_valid_answer(e: BaseException) -> bool:
    """Whether the connection was made, and what came back was not HTTP."""
    chain = list(causes(e))
    if any(isinstance(cause, ProxyError | httpx.ProxyError | ssl.SSLError) for cause in chain):
        return False
    if isinstance(e, httpx.RemoteProtocolError | httpx.ReadError):
        return True
    return isinstance(e, InvalidHandshake) and not any(isinstance(cause, TimeoutError) for cause in chain)


def flaw(e: ssl.SSLCertVerificationError, host: str) -> tuple[str, bool]:
    """(what is wrong with a certificate, whether an authority that this system trusts signed it)."""
    known = {
        _EXPIRED: "it has expired: renew it on the server",
        _NOT_YET_VALID: "it is not valid yet: check the clocks of both machines",
        _OTHER_NAME: f"it was issued for another name than {host}",
        _OTHER_ADDRESS: f"it was issued for another address than {host}",
    }
    if words := known.get(e.verify_code):
        return words, True
    return e.verify_message or "it cannot be verified", False


def flaw_words(distrust: str, vouched: bool) -> str:
    """What is wrong with a certificate, in words that follow a name or a colon."""
    return f"an authority that this system trusts signed it, but {distrust}" if vouched else distrust


def _untrusted(e: ssl.SSLCertVerificationError, chain: list[BaseException], route: Route) -> errors.UntrustedServer:
    if _is_of_proxy(chain, route):
        words = flaw_words(*flaw(e, urlsplit(route.proxy).hostname or ""))
        return errors.UntrustedServer(f"the certificate of {_proxy(route)} is not trusted: {words}")
    words = flaw_words(*flaw(e, urlsplit(route.url).hostname or ""))
    return errors.UntrustedServer(
        f"the certificate of {route.url} is not trusted: {words}. To see it and decide, run: "
        f"novacron login --server {route.url}"
    )


def _sentence(chain: list[BaseException], route: Route) -> str:
    for cause in chain:
        if isinstance(cause, InvalidProxyStatus):
            return _proxy_refusal(cause.response.status_code, route)
        if isinstance(cause, httpx.ProxyError | ProxyError):
            return _proxy_failure(chain, route)
    if any(isinstance(cause, TimeoutError | httpx.TimeoutException) for cause in chain):
        return _no_answer_in_time(chain, route)
    for cause in chain:
        if isinstance(cause, ssl.SSLError):
            return _tls_failure(cause, chain, route)
    if isinstance(chain[0], httpx.NetworkError) and not isinstance(chain[0], httpx.ConnectError):
        return f"the connection to {_answering(route)} was lost"
    if isinstance(chain[0], httpx.ConnectError) or any(isinstance(cause, OSError | UnicodeError) for cause in chain):
        return _no_connection(chain, route)
    if no_valid_answer(chain[0]):
        return f"{_any_hop(route)} closed the connection or answered without valid HTTP{_tls_hint(route)}"
    if route.proxy.startswith("socks"):
        return _proxy_failure(chain, route)
    return f"no valid exchange with {_answering(route)} was possible"


def _proxy_refusal(status: int, route: Route) -> str:
    """The proxy answered CONNECT with a status."""
    if status == 407:
        return _wants_password(route)
    if status in (502, 503, 504):
        return f"{_proxy(route)} cannot reach {route.server} ({status})"
    return f"{_proxy(route)} refused to connect to {route.server} ({status}): ask its administrator to allow it{_exception(route)}"


def _wants_password(route: Route) -> str:
    scheme = urlsplit(route.proxy).scheme
    return (
        f"{_proxy(route)} asks for a user name and password, or refused those it got: give them in {route.variable} "
        f"as {scheme}://USER:PASSWORD@HOST:PORT"
    )


def _proxy_failure(chain: list[BaseException], route: Route) -> str:
    """A proxy that answers otherwise than by a status: SOCKS, or no proxy at all."""
    said = " ".join(str(cause) for cause in chain).lower()
    if match := re.match(r"(\d{3}) ", str(chain[0])):
        return _proxy_refusal(int(match[1]), route)
    if "authentication" in said or "username" in said:
        return _wants_password(route)
    if any(isinstance(cause, OSError) and cause.errno for cause in chain):
        return _no_connection(chain, route)
    if route.proxy.startswith("socks"):
        return f"{_proxy(route)} cannot reach {route.server}, or is not a SOCKS5 proxy"
    return f"{_proxy(route)} does not answer like a proxy: check {route.variable}"


def _no_answer_in_time(chain: list[BaseException], route: Route) -> str:
    connecting = isinstance(chain[0], httpx.ConnectTimeout)
    if route.proxy and (connecting or route.forwards):
        return f"{_proxy(route)} did not respond in time"
    through = f" through {_proxy(route)}" if route.proxy else ""
    return f"{route.url} did not respond in time{through}"


def _tls_failure(e: ssl.SSLError, chain: list[BaseException], route: Route) -> str:
    of_proxy = _is_of_proxy(chain, route)
    hop = _proxy(route) if of_proxy else route.url
    if e.reason in _NO_TLS:
        plain = "give http:// in " + route.variable if of_proxy else f"use http://{route.server}, if that is meant"
        return f"{hop} does not speak TLS: {plain}"
    if e.reason in _CERTIFICATE_WANTED:
        return f"{hop} {_DEMANDS}"
    if e.reason is None:
        return f"the TLS handshake with {hop} failed: the connection was closed; if it {_DEMANDS}"
    return f"the TLS handshake with {hop} failed: {e.reason.lower().replace('_', ' ')}"


def _no_connection(chain: list[BaseException], route: Route) -> str:
    number, unknown_name = _reason(chain)
    if route.proxy:
        if number == errno.ECONNREFUSED:
            return f"{_proxy(route)} refused the connection{_exception(route)}"
        name = f"its name {urlsplit(route.proxy).hostname} cannot be resolved"
        return f"cannot connect to {_proxy(route)}: {name if unknown_name else _words(number)}{_exception(route)}"
    name = f"the name {urlsplit(route.url).hostname} cannot be resolved"
    return f"cannot connect to {route.url}: {name if unknown_name else _words(number)}"


def _reason(chain: list[BaseException]) -> tuple[int | None, bool]:
    """(errno, whether a name could not be resolved). asyncio joins several errors to one text without an errno."""
    for cause in chain:
        if isinstance(cause, socket.gaierror | UnicodeError):  # a name that IDNA cannot write is unknown too
            return None, True
        if isinstance(cause, OSError) and cause.errno:
            return cause.errno, False
        if isinstance(cause, OSError) and (numbers := re.findall(r"\[Errno (\d+)\]", str(cause))):
            return int(numbers[0]), False
    return None, False


def _words(number: int | None) -> str:
    return "no connection" if number is None else os.strerror(number).lower()


def _is_of_proxy(chain: list[BaseException], route: Route) -> bool:
    """Whether a TLS error is one of the handshake with the proxy."""
    of_server = any(SERVER_HANDSHAKE in getattr(cause, "__notes__", ()) for cause in chain)
    return route.proxy.startswith("https") and not of_server


def _proxy(route: Route) -> str:
    return f"the proxy {route.shown_proxy}"


def _exception(route: Route) -> str:
    return f" (it is set in {route.variable}; NO_PROXY lists the servers that are reached without it)"


def _answering(route: Route) -> str:
    return _proxy(route) if route.forwards else route.url


def _any_hop(route: Route) -> str:
    return f"{_proxy(route)}, or {route.url} behind it," if route.proxy else route.url


def _tls_hint(route: Route) -> str:
    """What a connection that ends without an answer may have wanted."""
    if route.url.startswith("http:"):
        return f"; if it uses TLS, give https://{route.server}"
    return f"; if it {_DEMANDS}"
