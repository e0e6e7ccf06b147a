"""TLS certificates: verified by the system's authorities, or pinned by fingerprint.

Private servers often have a self-signed certificate. Its fingerprint (SHA-256 over the DER form, in hex) is shown on
the first connection and stored; after that no other certificate is accepted, and dates and names are not checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from novacron_core import errors

_FETCH_TIMEOUT_S = 10.0


class CertificateChanged(ssl.SSLCertVerificationError):
    """The server's certificate differs from the pinned one."""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """A server's certificate: its fingerprint, and why the system does not trust it ("" when it does)."""

    fingerprint: str
    distrust: str


def is_tls(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def fingerprint_of(der: bytes) -> str:
    """`AB:CD:…`, as `openssl x509 -fingerprint -sha256` prints it."""
    return hashlib.sha256(der).digest().hex(":").upper()


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two fingerprints are equal. Ignores colons, letter case and a leading `SHA256:`."""
    return _normalized(one) == _normalized(other) != ""


def _normalized(fingerprint: str) -> str:
    return fingerprint.strip().upper().removeprefix("SHA256").lstrip(":= ").replace(":", "")


def context(url: str, fingerprint: str) -> ssl.SSLContext | None:
    """The TLS context for a URL; None for plain HTTP."""
    if not is_tls(url):
        return None
    return pinned(fingerprint) if fingerprint else ssl.create_default_context()


def pinned(fingerprint: str) -> ssl.SSLContext:
    """A context that accepts only the certificate with this fingerprint."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the check below is stricter: it accepts one certificate only

    class Pinned(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = fingerprint_of(self.getpeercert(binary_form=True) or b"")
            if not same_fingerprint(shown, fingerprint):
                raise CertificateChanged(f"expected {fingerprint}, got {shown}")

    context.sslobject_class = Pinned
    return context


def certificate_error(e: BaseException, url: str) -> errors.UntrustedServer | None:
    """The certificate error behind a failed connection, or None when the certificate was not the reason."""
    cause: BaseException | None = e
    while cause is not None:
        if isinstance(cause, CertificateChanged):
            return errors.UntrustedServer(f"the certificate of {url} has changed: {cause.args[0]}")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return errors.UntrustedServer(f"the certificate of {url} is not trusted: {cause.verify_message}")
        cause = cause.__cause__ or cause.__context__
    return None


async def fetch_certificate(url: str) -> ShownCertificate:
    """Fetch the certificate of the server at an https URL. Raises ServerUnreachable."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # no data is sent over this connection; only the certificate is read
    try:
        async with asyncio.timeout(_FETCH_TIMEOUT_S):
            fingerprint = await _fetch_fingerprint(host, port, unverified)
            return ShownCertificate(fingerprint, await _trust_error(host, port))
    except (OSError, TimeoutError) as e:
        raise errors.ServerUnreachable(f"cannot connect to {url}: {e or type(e).__name__}") from e


async def _fetch_fingerprint(host: str, port: int, context: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        return fingerprint_of(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
    finally:
        writer.transport.abort()


async def _trust_error(host: str, port: int) -> str:
    try:
        await _fetch_fingerprint(host, port, ssl.create_default_context())
    except ssl.SSLCertVerificationError as e:
        return e.verify_message or str(e)
    return ""
