"""libvirt's event loop: one native thread for the process, and the callbacks that turn its events into hints.

It must run before the first connection is opened: keepalive and events of a connection opened earlier never work.
Its callbacks do nothing but hand over; libvirt must never be called from them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import libvirt
import structlog

_log = structlog.get_logger(__name__)
_lock = threading.Lock()
_started = False

Kind = Literal["domain", "pool", "host"]
Seen = Callable[[Kind, str | None], None]
"""Called in the event thread with what an event was about: a kind and, but for a host, a UUID."""

_DOMAIN_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,  # defined and undefined too
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_CONTROL_ERROR,
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
)


def start() -> None:
    """Starts the event thread once per process; further calls do nothing."""
    global _started
    with _lock:
        if _started:
            return
        # libvirt prints every error to stderr unless told otherwise; ours are raised, and a console owns the terminal.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _started = True


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _log.error("libvirt's event loop failed once", error=str(error))
            time.sleep(0.1)  # never spin on an error that stays


def listen(connection: Any, seen: Seen, closed: Callable[[str], None]) -> list[Callable[[], object]]:
    """Registers for everything this connection can tell. What it cannot is found by the slow re-read.

    `closed` gets the reason, in the event thread, when the connection is lost. Returns what takes each registration
    back: libvirt keeps a connection, closed or not, for as long as something is registered on it.
    """
    undo: list[Callable[[], object]] = []

    def register(how: Callable[[], Any], back: Callable[..., object]) -> None:
        try:
            number = how()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
                raise
        else:
            undo.append(partial(back, number))

    def closing(_connection: Any, reason: int, _: Any) -> None:
        closed(_close_reason(reason))

    with suppress(libvirt.libvirtError):  # the simulator has no line to lose
        connection.registerCloseCallback(closing, None)
        undo.append(connection.unregisterCloseCallback)
    for event in _DOMAIN_EVENTS:
        how = partial(connection.domainEventRegisterAny, None, event, _domain_callback(seen), None)
        register(how, connection.domainEventDeregisterAny)
    for event in (libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH):
        how = partial(connection.storagePoolEventRegisterAny, None, event, _pool_callback(seen), None)
        register(how, connection.storagePoolEventDeregisterAny)
    network = (None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, lambda *_: seen("host", None), None)
    register(partial(connection.networkEventRegisterAny, *network), connection.networkEventDeregisterAny)
    return undo


def _domain_callback(seen: Seen) -> Callable[..., None]:
    return lambda _connection, domain, *_details: seen("domain", str(domain.UUIDString()))


def _pool_callback(seen: Seen) -> Callable[..., None]:
    return lambda _connection, pool, *_details: seen("pool", str(pool.UUIDString()))


def _close_reason(reason: int) -> str:
    return {
        libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "the connection broke",
        libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "libvirt went away",
        libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirt stopped answering",
    }.get(reason, "the connection was closed")
