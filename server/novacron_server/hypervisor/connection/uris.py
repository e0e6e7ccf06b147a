"""Which libvirt URIs may be used (https://libvirt.org/uri.html), and which one this machine offers by itself."""

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
# An allow-list: libvirt has parameters that run programs or switch checks off (command, netcat, keyfile, no_verify).
_PARAMETERS = {"socket", "mode", "no_tty"}
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PATH = re.compile(r"/[A-Za-z0-9_./+@=-]+")
_SYSTEM, _SESSION, _TEST = "qemu:///system", "qemu:///session", "test:///default"


def allowed_uri(uri: str) -> None:
    """Raises InvalidArgument with the reason when `uri` may not be connected to."""
    if refusal := _why_not(uri):
        raise InvalidArgument(f"this hypervisor address cannot be used: {refusal}")


def _why_not(uri: str) -> str | None:
    if not uri.isascii() or not uri.isprintable() or " " in uri or "\\" in uri or len(uri) > 500:
        return "it has characters that no address has"
    try:
        parts = urlsplit(uri)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError:
        return "it is no address"
    if parts.scheme not in _SCHEMES:
        return f"it must begin with one of {', '.join(_SCHEMES)}"
    if parts.fragment or "%" in uri:
        return "it has a fragment or an escape"
    if parts.scheme == "test":
        return _why_not_test(parts.netloc, parts.path, parts.query)
    return _why_not_place(parts.scheme, parts.netloc, parts.path) or _why_not_parameters(parts.scheme, query)


def _why_not_test(place: str, path: str, query: str) -> str | None:
    if place or query:
        return "the simulator has neither host nor parameters"
    return None if _PATH.fullmatch(path) else "the simulator wants /default or the whole path of a file"


def _why_not_place(scheme: str, place: str, path: str) -> str | None:
    if path not in ("/system", "/session"):
        return "it must end in /system or /session"
    if scheme in ("qemu", "qemu+unix"):
        return "a local address names no host" if place else None
    user, at, address = place.rpartition("@")
    if at and (scheme != "qemu+ssh" or not _USER.fullmatch(user)):
        return "that user name cannot be used"
    host, _, port = (address, "", "") if address.endswith("]") else address.partition(":")
    if "]:" in address:
        host, _, port = address.rpartition(":")
    if not _HOST.fullmatch(host):
        return "that host name cannot be used"
    return None if not port or (port.isdigit() and 0 < int(port) < 65536) else "that port cannot be used"


def _why_not_parameters(scheme: str, query: list[tuple[str, str]]) -> str | None:
    for name, value in query:
        if name not in _PARAMETERS:
            return f"the parameter {name} is not accepted"
        if name == "socket" and (scheme not in ("qemu+unix", "qemu+ssh") or not _PATH.fullmatch(value)):
            return "that socket cannot be used"
        if name == "mode" and value not in ("auto", "direct", "legacy"):
            return "that mode is not known"
        if name == "no_tty" and value not in ("0", "1"):
            return "no_tty is 0 or 1"
    return None


def dial_address(uri: str) -> str:
    """The URI to open: over ssh, one that never asks for a password on somebody's terminal."""
    if not uri.startswith("qemu+ssh:") or "no_tty=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}no_tty=1"


def is_simulated(uri: str) -> bool:
    """Whether libvirt's test driver stands behind this URI: nothing there is real."""
    return uri.startswith("test:")


def is_local(uri: str) -> bool:
    """Whether the guests of this URI run on this machine."""
    return uri.startswith(("qemu:", "qemu+unix:"))


def choose_uri(*, deadline_s: float = 5.0) -> str:
    """The best hypervisor that answers on this machine: the system's, else this user's, else the simulator.

    Blocks up to `deadline_s` for each candidate; call it in a thread.
    """
    if not _has_emulator():
        return _TEST
    events.start()
    return next((uri for uri in (_SYSTEM, _SESSION) if _answers(uri, deadline_s)), _TEST)


def _has_emulator() -> bool:
    """Whether QEMU for this machine's own kind is installed. libvirt knows too, but may take seconds to say so."""
    names = (f"qemu-system-{platform.machine()}", "qemu-kvm", "/usr/libexec/qemu-kvm")
    return any(shutil.which(name) for name in names)


def _answers(uri: str, deadline_s: float) -> bool:
    answer: Future[bool] = Future()
    # Its own thread, because nothing can interrupt an open() that hangs.
    threading.Thread(target=_ask, args=(uri, answer), daemon=True, name=f"ask-{uri}").start()
    try:
        return answer.result(deadline_s)
    except TimeoutError:
        return False


def _ask(uri: str, answer: Future[bool]) -> None:
    try:
        libvirt.open(uri).close()
    except libvirt.libvirtError:
        answer.set_result(False)
    else:
        answer.set_result(True)
