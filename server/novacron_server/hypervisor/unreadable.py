"""Objects of a host that cannot be read: each is passed over and logged once, so that the others stay current (G14)."""

from __future__ import annotations

from typing import Any

import libvirt
import structlog

from novacron_server.hypervisor.faults import is_lost, plain

_log = structlog.get_logger(__name__)
_MAX_LOGGED = 1000
_logged: set[tuple[str, str, str]] = set()


def skip_unreadable(connection: Any, what: str, thing: Any, error: Exception, *, of: str = "") -> str:
    """Log that a libvirt object was passed over, the first time with this error. Returns the reason. Raises the error
    if the connection was lost, since then it is not about the object. `of` names what the object belongs to."""
    if isinstance(error, libvirt.libvirtError) and is_lost(error, connection):
        raise error
    name = name_of(thing)
    reason = plain(str(error))
    if isinstance(error, UnicodeDecodeError):
        reason = f"not UTF-8: {error.object[max(0, error.start - 40) : error.end + 40]!r}"
    if (key := (what, f"{of}/{name}", reason)) not in _logged:
        if len(_logged) >= _MAX_LOGGED:
            _logged.clear()
        _logged.add(key)
        _log.warning(f"cannot read a {what}", name=name, of=of or None, reason=reason)
    return reason


def name_of(thing: Any) -> str:
    """The name of a libvirt object for the log and the screen; bytes that are not UTF-8 become U+FFFD."""
    try:
        return str(thing.name())
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")
    except Exception:  # noqa: BLE001 - the name of a broken object is for the log alone
        return "?"
