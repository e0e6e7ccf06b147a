"""TLS certificates: verified by the system's authorities, or pinned by fingerprint.

Private servers often have a self-signed certificate. Its fingerprint (SHA-256 over the DER form, in hex) is shown on
the first connection and stored; after that no other certificate is accepted, and dates and names are not checked.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from novacron_core.client import failures
from novacron_core.client.http import CONNECTION_ERRORS, new_http
from novacron_core.client.route import Route, route_to

_LOOK_TIMEOUT_S = 10.0
_FINGERPRINT_DIGITS = 64


class CertificateChanged(ssl.SSLCertVerificationError):
    """The server's certificate differs from the pinned one: the arguments are the expected fingerprint and the one
    shown."""


class _LookedAt(ssl.SSLError):
    """Ends a handshake when the certificate was read."""


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """A server's certificate: its fingerprint, and why the system does not trust it ("" when it does). `vouched`: an
    authority that the system trusts signed it."""

    fingerprint: str
    distrust: str
    vouched: bool = False

    @property
    def standing(self) -> str:
        """How this system sees the certificate."""
        if not self.distrust:
            return "an authority that this system trusts vouches for it"
        return failures.flaw_words(self.distrust, self.vouched)


class _ServerHandshake(ssl.SSLObject):
    """Marks the errors of the handshake with the server: an HTTPS proxy on the way has a handshake of its own."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as e:
            e.add_note(failures.SERVER_HANDSHAKE)
            raise


def is_tls(url: str) -> bool:
    return urlsplit(url).scheme == "https"


def fingerprint_of(der: bytes) -> str:
    """`AB:CD:…`, as `openssl x509 -fingerprint -sha256` prints it."""
    return hashlib.sha256(der).digest().hex(":").upper()


def same_fingerprint(one: str, other: str) -> bool:
    """Whether two fingerprints are equal. Ignores colons, letter case and a leading `SHA256:`."""
    return _normalized(one) == _normalized(other) != ""


def is_fingerprint(text: str) -> bool:
    """Whether a text is a SHA-256 fingerprint, in any spelling that `same_fingerprint` accepts."""
    digits = _normalized(text)
    return len(digits) == _FINGERPRINT_DIGITS and all(digit in "0123456789ABCDEF" for digit in digits)


def _normalized(fingerprint: str) -> str:
    return fingerprint.strip().upper().removeprefix("SHA256").lstrip(":= ").replace(":", "")


def context(url: str, fingerprint: str) -> ssl.SSLContext | None:
    """The TLS context for a URL; None for plain HTTP."""
    if not is_tls(url):
        return None
    return pinned(fingerprint) if fingerprint else _verifying()


def pinned(fingerprint: str) -> ssl.SSLContext:
    """A context that accepts only the certificate with this fingerprint."""
    context = _unverifying()  # the check below is stricter: it accepts one certificate only

    class Pinned(_ServerHandshake):
        def do_handshake(self) -> None:
            super().do_handshake()
            shown = fingerprint_of(self.getpeercert(binary_form=True) or b"")
            if not same_fingerprint(shown, fingerprint):
                raise CertificateChanged(fingerprint, shown)

    context.sslobject_class = Pinned
    return context


def _verifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslobject_class = _ServerHandshake
    return context


def _unverifying() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def fetch_certificate(url: str) -> ShownCertificate:
    """Fetch the certificate of the server at an https URL, on the route that everything else uses. Nothing is sent to
    the server but the handshake. Raises ServerUnreachable, UntrustedServer for the certificate of a proxy."""
    route = route_to(url)
    host = urlsplit(url).hostname or ""
    try:
        der = await _handshake(route, _unverifying())
        fingerprint = fingerprint_of(der)
        try:
            await _handshake(route, _verifying())
        except CONNECTION_ERRORS as e:
            rejected = _rejection(e)
            if rejected is None:
                raise
            distrust, vouched = failures.flaw(rejected, host)
            return ShownCertificate(fingerprint, distrust + ("" if vouched else await _wrong_date(route, der)), vouched)
        return ShownCertificate(fingerprint, "", vouched=True)
    except CONNECTION_ERRORS as e:
        raise failures.unreachable(e, route) from e


async def speaks_tls(route: Route, timeout_s: float) -> bool:
    """Whether the server answers a TLS handshake."""
    try:
        await _handshake(route, _unverifying(), timeout_s)
    except CONNECTION_ERRORS:
        return False
    return True


async def _wrong_date(route: Route, der: bytes) -> str:
    """Whether a certificate that no authority signed is out of date too: OpenSSL names one flaw only, so it is made
    its own authority for another look."""
    context = _verifying()
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=der)
        await _handshake(route, context)
    except (*CONNECTION_ERRORS, ssl.SSLError) as e:
        rejected = _rejection(e)
        words, dated = failures.flaw(rejected, "") if rejected else ("", False)
        return f"; {words}" if dated else ""
    return ""


def _rejection(e: BaseException) -> ssl.SSLCertVerificationError | None:
    found = (cause for cause in failures.causes(e) if isinstance(cause, ssl.SSLCertVerificationError))
    return next(found, None)


async def _handshake(route: Route, context: ssl.SSLContext, timeout_s: float = _LOOK_TIMEOUT_S) -> bytes:
    """The certificate (DER) of the server after a handshake with this context, which is then broken off. Raises
    CONNECTION_ERRORS."""
    seen: list[bytes] = []

    class Looking(_ServerHandshake):
        def do_handshake(self) -> None:
            super().do_handshake()
            seen.append(self.getpeercert(binary_form=True) or b"")
            raise _LookedAt

    context.sslobject_class = Looking
    async with new_http(route, context, httpx.Timeout(timeout_s)) as http:
        try:
            await http.get(route.url)
        except CONNECTION_ERRORS:
            if not seen:
                raise
    return seen[0]
