"""Which libvirt URIs are allowed (https://libvirt.org/uri.html), and which one to use by default on this machine."""

from __future__ import annotations

import platform
import re
import shutil
import threading
from concurrent.futures import Future
from urllib.parse import parse_qsl, urlsplit

import libvirt

from novacron_core.errors import InvalidArgument
from novacron_server.hypervisor.connection import events

_SCHEMES = ("qemu", "qemu+unix", "qemu+tls", "qemu+ssh", "test")
# An allowlist: libvirt has parameters that run programs or disable checks (command, netcat, keyfile, no_verify).
_PARAMETERS = {"socket", "mode", "no_tty"}
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/[A-Za-z0-9_./+@=-]+")
_SYSTEM, _SESSION, _TEST = "qemu:///system", "qemu:///session", "test:///default"


def check_uri(uri: str) -> None:
    """Raise InvalidArgument with the reason if connecting to `uri` is not allowed."""
    if refusal := _why_not(uri):
        raise InvalidArgument(f"invalid hypervisor address: {refusal}")


def _why_not(uri: str) -> str | None:
    if not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri or len(uri) > 500:
        return "it contains invalid characters or is too long"
    try:
        parts = urlsplit(uri)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError:
        return "it is not a URI"
    if parts.scheme not in _SCHEMES:
        return f"it must start with one of {', '.join(_SCHEMES)}"
    if parts.fragment or "%" in uri:
        return "it must not contain a fragment or an escape"
    if parts.scheme == "test":
        return _why_not_test(parts.netloc, parts.path, parts.query)
    return _why_not_location(parts.scheme, parts.netloc, parts.path) or _why_not_parameters(parts.scheme, query)


def _why_not_test(netloc: str, path: str, query: str) -> str | None:
    if netloc or query:
        return "the simulator takes no host and no parameters"
    return None if _PATH.fullmatch(path) else "the simulator requires /default or the absolute path of a file"


def _why_not_location(scheme: str, netloc: str, path: str) -> str | None:
    if path not in ("/system", "/session"):
        return "it must end in /system or /session"
    if scheme in ("qemu", "qemu+unix"):
        return "a local address must not name a host" if netloc else None
    user, at, address = netloc.rpartition("@")
    if at and (scheme != "qemu+ssh" or not _USER.fullmatch(user)):
        return "the user name is invalid"
    host, _, port = (address, "", "") if address.endswith("]") else address.partition(":")
    if "]:" in address:
        host, _, port = address.rpartition(":")
    if not _HOST.fullmatch(host):
        return "the host name is invalid"
    return None if not port or (port.isdigit() and 0 < int(port) < 65536) else "the port is invalid"


def _why_not_parameters(scheme: str, query: list[tuple[str, str]]) -> str | None:
    for name, value in query:
        if name not in _PARAMETERS:
            return f"the parameter {name} is not allowed"
        if name == "socket" and (scheme not in ("qemu+unix", "qemu+ssh") or not _PATH.fullmatch(value)):
            return "the socket is invalid"
        if name == "mode" and value not in ("auto", "direct", "legacy"):
            return "the mode is unknown"
        if name == "no_tty" and value not in ("0", "1"):
            return "no_tty must be 0 or 1"
    return None


def dial_address(uri: str) -> str:
    """The URI to open: with ssh, one that never prompts for a password on the terminal."""
    if not uri.startswith("qemu+ssh:") or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def is_simulated(uri: str) -> bool:
    """Whether this URI uses libvirt's test driver, which simulates a host."""
    return uri.startswith("test:")


def is_local(uri: str) -> bool:
    """Whether the guests of this URI run on this machine."""
    return uri.startswith(("qemu:", "qemu+unix:"))


def choose_uri(*, deadline_s: float = 5.0) -> str:
    """The best hypervisor that responds on this machine: the system's, else this user's, else the simulator.

    Blocks up to `deadline_s` seconds per candidate; call it in a thread.
    """
    if not _has_emulator():
        return _TEST
    events.start()
    return next((uri for uri in (_SYSTEM, _SESSION) if _responds(uri, deadline_s)), _TEST)


def _has_emulator() -> bool:
    """Whether QEMU for this machine's architecture is installed. libvirt also knows, but may need seconds to answer."""
    names = (f"qemu-system-{platform.machine()}", "qemu-kvm", "/usr/libexec/qemu-kvm")
    return any(shutil.which(name) for name in names)


def _responds(uri: str, deadline_s: float) -> bool:
    answer: Future[bool] = Future()
    # In its own thread, because an open() that hangs cannot be interrupted.
    threading.Thread(target=_probe, args=(uri, answer), daemon=True, name=f"probe-{uri}").start()
    try:
        return answer.result(deadline_s)
    except TimeoutError:
        return False


def _probe(uri: str, answer: Future[bool]) -> None:
    try:
        libvirt.open(uri).close()
    except libvirt.libvirtError:
        answer.set_result(False)
    else:
        answer.set_result(True)
