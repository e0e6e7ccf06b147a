"""libvirt's event loop: one native thread per process, and the callbacks that turn libvirt events into hints.

It must run before the first connection is opened: on a connection opened earlier, keepalive and events never work.
The callbacks only pass events on; they must never call libvirt.
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

Kind = Literal["domain", "reboot", "boot", "stop", "death", "pool", "host"]
Run = Literal["started", "restarted", "stopped", "lost"]
"""What begins and ends the runs of a guest. `lost`: the connection, so some may have been missed."""
EventCallback = Callable[[Kind, str | None], None]
"""Called in the event thread with the kind of object that the event concerns and its UUID (None for a host)."""

_DEATHS = (libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED)
"""The second one is also that of a domain which could not be started, and so did not run."""
_DOMAIN_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
    libvirt.VIR_DOMAIN_EVENT_ID_CONTROL_ERROR,
    libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
    libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
    libvirt.VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
)


def start() -> None:
    """Start the event thread once per process; further calls do nothing."""
    global _started
    with _lock:
        if _started:
            return
        # By default libvirt prints every error to stderr. Here errors are raised, and a console owns the terminal.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _started = True


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _log.error("libvirt's event loop raised an error", error=str(error))
            time.sleep(0.1)  # do not spin on a persistent error


def listen(connection: Any, on_event: EventCallback, on_close: Callable[[str], None]) -> list[Callable[[], object]]:
    """Register for every event this connection supports. Other changes are found by the periodic full read.

    `on_close` is called with the reason, in the event thread, when the connection is lost. Returns the functions that
    undo each registration: libvirt keeps a connection, closed or not, while anything is registered on it.
    """
    undo: list[Callable[[], object]] = []

    def register(add: Callable[[], Any], remove: Callable[..., object]) -> None:
        try:
            callback_id = add()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_INVALID_ARG):
                raise
        else:
            undo.append(partial(remove, callback_id))

    def closed(_connection: Any, reason: int, _: Any) -> None:
        on_close(_close_reason(reason))

    with suppress(libvirt.libvirtError):  # the simulator has no network connection to lose
        connection.registerCloseCallback(closed, None)
        undo.append(connection.unregisterCloseCallback)
    lifecycle = (None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, _lifecycle_callback(on_event), None)  # with definitions
    register(partial(connection.domainEventRegisterAny, *lifecycle), connection.domainEventDeregisterAny)
    for event in _DOMAIN_EVENTS:
        add = partial(connection.domainEventRegisterAny, None, event, _domain_callback(on_event), None)
        register(add, connection.domainEventDeregisterAny)
    reboot = (None, libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, _domain_callback(on_event, "reboot"), None)
    register(partial(connection.domainEventRegisterAny, *reboot), connection.domainEventDeregisterAny)
    for event in (libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH):
        add = partial(connection.storagePoolEventRegisterAny, None, event, _pool_callback(on_event), None)
        register(add, connection.storagePoolEventDeregisterAny)
    network = (None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, lambda *_: on_event("host", None), None)
    register(partial(connection.networkEventRegisterAny, *network), connection.networkEventDeregisterAny)
    return undo


def _domain_callback(on_event: EventCallback, kind: Kind = "domain") -> Callable[..., None]:
    return lambda _connection, domain, *_details: on_event(kind, str(domain.UUIDString()))


def _lifecycle_callback(on_event: EventCallback) -> Callable[..., None]:
    """A domain whose QEMU has died is told apart: libvirt forgets a transient one at once, and nothing else tells. So are
    a guest that boots, not one that goes on from saved memory, and one that is off."""

    def call(_connection: Any, domain: Any, event: int, detail: int, _: Any) -> None:
        kind: Kind = "domain"
        if event == libvirt.VIR_DOMAIN_EVENT_STOPPED:
            kind = "death" if detail in _DEATHS else "stop"
        elif event == libvirt.VIR_DOMAIN_EVENT_STARTED and detail == libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED:
            kind = "boot"
        on_event(kind, str(domain.UUIDString()))

    return call


def _pool_callback(on_event: EventCallback) -> Callable[..., None]:
    return lambda _connection, pool, *_details: on_event("pool", str(pool.UUIDString()))


def _close_reason(reason: int) -> str:
    return {
        libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "connection error",
        libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "lost connection to libvirt",
        libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirt stopped responding",
    }.get(reason, "the connection was closed")
