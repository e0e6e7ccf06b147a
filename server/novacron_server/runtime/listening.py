"""What the server listens on: the address of `--host`, and the certificate. Both are checked before anything is opened."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

from novacron_core import errors

_NUMERIC = re.compile(r"[\d.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
_WITH_PORT = re.compile(r"(\[.*\]|[^:]*):\d*")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")


def parse_host(text: str) -> str:
    """The address or name to listen on, an IPv6 address without brackets. Raises InvalidArgument."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") and ":" in text else text
    try:
        ip_address(host)
    except ValueError:
        if refused := _why_not_name(text):
            raise errors.InvalidArgument(f"--host: {refused}") from None
    return host


def _why_not_name(text: str) -> str | None:
    if text.startswith(("unix:", "/")):
        return "the server does not listen on Unix sockets: give an IP address, like 127.0.0.1"
    if "://" in text:
        return "give the address without a scheme, like 127.0.0.1"
    if text == "*":
        return "give 0.0.0.0 for all IPv4 addresses of this machine, or :: for all IPv6 addresses"
    if _WITH_PORT.fullmatch(text):
        return "give the address alone, and the port with --port"
    if _NUMERIC.fullmatch(text) or not _NAME.fullmatch(text):
        return f"{text!r} is not an IP address or a host name"
    try:
        socket.getaddrinfo(text, None, family=socket.AF_INET)
    except OSError:
        return f"the name {text} cannot be resolved to an IPv4 address"
    return None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises Conflict when the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=256)
    except OSError as e:
        raise errors.Conflict(_why_not_listening(e, host, port)) from e
    listening.setblocking(False)
    return listening


def _why_not_listening(e: OSError, host: str, port: int) -> str:
    if e.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use by another program: give another one with --port"
    if e.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: give another one with --host"
    if e.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not listen on port {port}: give one above 1023 with --port"
    return f"cannot listen on {host}, port {port}: {e.strerror}"


def check_certificate(cert: Path, key: Path) -> None:
    """Raises InvalidArgument when a file is missing or no PEM file, or the key does not belong to the certificate."""
    for flag, path in (("--tls-cert", cert), ("--tls-key", key)):
        try:
            path.open("rb").close()
        except OSError as e:
            raise errors.InvalidArgument(f"{flag}: cannot read {path}: {e.strerror}") from e
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=cert)
    except ssl.SSLError as e:
        raise errors.InvalidArgument(f"--tls-cert: {cert} has no certificate in PEM format") from e
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_passphrase)
    except _Encrypted as e:
        raise errors.InvalidArgument(f"--tls-key: {key} is encrypted: give a key without a passphrase") from e
    except ssl.SSLError as e:
        if "MISMATCH" in (e.reason or ""):
            raise errors.InvalidArgument(f"--tls-key: {key} does not belong to the certificate in {cert}") from e
        raise errors.InvalidArgument(f"--tls-key: {key} has no private key in PEM format, or not one for TLS") from e


class _Encrypted(Exception):
    """A passphrase was asked for."""


def _no_passphrase() -> str:
    raise _Encrypted
