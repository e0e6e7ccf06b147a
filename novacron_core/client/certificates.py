"""Certificates: the system's authorities where they vouch for a server, else the one certificate that was pinned.

A server in one's own house mostly has a certificate that no authority signed. Its fingerprint (SHA-256 over the DER
form, in hex) is shown the first time, kept, and from then on nothing else is accepted, whatever its dates and names.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from novacron_core import errors

_LOOK_S = 10.0


class CertificateChanged(ssl.SSLCertVerificationError):
    """The server shows another certificate than the pinned one."""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """What a server shows: the fingerprint, and why the system's authorities do not vouch for it ("" when they do)."""

    fingerprint: str
    distrust: str


def is_tls(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def fingerprint_of(der: bytes) -> str:
    """`AB:CD:…`, as `openssl x509 -fingerprint -sha256` prints it."""
    return hashlib.sha256(der).digest().hex(":").upper()


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two fingerprints are one, however they are written: colons, letter case, a `SHA256:` before."""
    return _bare(one) == _bare(other) != ""


def _bare(fingerprint: str) -> str:
    return fingerprint.strip().upper().removeprefix("SHA256").lstrip(":= ").replace(":", "")


def context(url: str, fingerprint: str) -> ssl.SSLContext | None:
    """How to speak TLS with a URL; None where it is plain HTTP."""
    if not is_tls(url):
        return None
    return pinned(fingerprint) if fingerprint else ssl.create_default_context()


def pinned(fingerprint: str) -> ssl.SSLContext:
    """A context that accepts the certificate with this fingerprint and no other."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the check below is stricter: it is this very certificate, or nothing

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = fingerprint_of(self.getpeercert(binary_form=True) or b"")
            if not same_fingerprint(shown, fingerprint):
                raise CertificateChanged(f"it was {fingerprint}, now it is {shown}")

    context.sslobject_class = Pinned
    return context


def refusal(e: BaseException, url: str) -> errors.UntrustedServer | None:
    """What a failed connection says about the server's certificate, or None when that was not the reason."""
    cause: BaseException | None = e
    while cause is not None:
        if isinstance(cause, CertificateChanged):
            return errors.UntrustedServer(f"the certificate of {url} has changed: {cause.args[0]}")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.UntrustedServer(f"the certificate of {url} is not trusted: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    return None


async def fetch_certificate(url: str) -> ShownCertificate:
    """See which certificate the server of an https URL shows. Raises ServerUnreachable."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE  # nothing is sent over this line, it is only looked at
    try:
        async with asyncio.timeout(_LOOK_S):
            fingerprint = await _shown(host, port, blind)
            return ShownCertificate(fingerprint, await _distrust(host, port))
    except (OSError, TimeoutError) as e:
        raise errors.ServerUnreachable(f"cannot reach {url}: {e or type(e).__name__}") from e


async def _shown(host: str, port: int, context: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        return fingerprint_of(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


async def _distrust(host: str, port: int) -> str:
    try:
        await _shown(host, port, ssl.create_default_context())
    except ssl.SSLCertVerificationError as e:
        return e.verify_message or str(e)
    return ""
