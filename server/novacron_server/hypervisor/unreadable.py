"""Objects of a host that cannot be read: each is passed over and logged once, so that the others stay current (G14)."""

from __future__ import annotations

from collections.abc import Sequence
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
    raise_if_lost(connection, error)
    reason = _reason(error)
    name = name_of(thing)
    _log_once(f"cannot read a {what}", (what, f"{of}/{name}", reason), name=name, of=of or None, reason=reason)
    return reason


def skip_all_unreadable(
    connection: Any, what: str, failures: Sequence[tuple[Any, Exception]], *, of: str, one_by_one: int = 5
) -> None:
    """As `skip_unreadable` for many objects of `of` at once: more than `one_by_one` have one line together. A pool that
    is stopped while it is read fails for each of its files."""
    if len(failures) <= one_by_one:
        for thing, error in failures:
            skip_unreadable(connection, what, thing, error, of=of)
        return
    (first, error), count = failures[0], len(failures)
    example, reason = name_of(first), _reason(error)
    _log_once(f"cannot read many {what}s", (what, of, reason), of=of, count=count, example=example, reason=reason)


def raise_if_lost(connection: Any, error: Exception) -> None:
    """Raise the error if it means that the connection was lost."""
    if isinstance(error, libvirt.libvirtError) and is_lost(error, connection):
        raise error


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error.object[max(0, error.start - 40) : error.end + 40]!r}"
    return plain(str(error))


def _log_once(event: str, key: tuple[str, str, str], **details: object) -> None:
    if key not in _logged:
        if len(_logged) >= _MAX_LOGGED:
            _logged.clear()
        _logged.add(key)
        _log.warning(event, **details)


def name_of(thing: Any) -> str:
    """The name of a libvirt object for the log and the screen; bytes that are not UTF-8 become U+FFFD."""
    try:
        return str(thing.name())
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")
    except Exception:  # noqa: BLE001 - the name of a broken object is for the log alone
        return "?"
