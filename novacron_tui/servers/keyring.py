"""The desktop's keyring, where one works without asking anybody anything. Everywhere else it answers no, at once.

A keyring may hang, or open a window that wants a password; a script cannot wait for that. So it is asked in a thread
with a deadline, and a Secret Service only while it is unlocked.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")
_SERVICE = "novacron"
_DEADLINE_S = 2.0


def read(name: str) -> str | None:
    """The secret, or None when it is not there or cannot be had silently."""
    return _ask(lambda ring: ring.get_password(_SERVICE, name))


def write(name: str, secret: str) -> bool:
    """Whether it is kept there now: it was read back."""

    def put(ring: KeyringBackend) -> bool:
        ring.set_password(_SERVICE, name, secret)
        return ring.get_password(_SERVICE, name) == secret

    return bool(_ask(put))


def forget(name: str) -> None:
    """Remove it, if it is there."""
    _ask(lambda ring: ring.delete_password(_SERVICE, name))


def _ask(question: Callable[[KeyringBackend], T]) -> T | None:
    if not _worth_a_look():
        return None
    answers: queue.Queue[T | None] = queue.Queue()

    def work() -> None:
        try:
            ring = _silent_keyring()
            answers.put(question(ring) if ring is not None else None)
        except Exception:  # noqa: BLE001 - backends raise what they like; a keyring that fails is one that is not there
            answers.put(None)

    threading.Thread(target=work, daemon=True, name="keyring").start()
    try:
        return answers.get(timeout=_DEADLINE_S)
    except queue.Empty:
        return None


def _worth_a_look() -> bool:
    """Importing keyring takes 80 ms: not where no backend can be."""
    named = os.environ.get("PYTHON_KEYRING_BACKEND")
    return bool(named) or sys.platform == "darwin" or "DBUS_SESSION_BUS_ADDRESS" in os.environ


def _silent_keyring() -> KeyringBackend | None:
    import keyring

    ring = keyring.get_keyring()
    kind = type(ring).__module__
    if os.environ.get("PYTHON_KEYRING_BACKEND") or kind == "keyring.backends.macOS":
        return None if kind in ("keyring.backends.fail", "keyring.backends.null") else ring
    if kind == "keyring.backends.chainer":
        rings = [r for r in getattr(ring, "backends", ()) if type(r).__module__ == "keyring.backends.SecretService"]
        ring, kind = (rings[0], type(rings[0]).__module__) if rings else (ring, kind)
    return ring if kind == "keyring.backends.SecretService" and _unlocked() else None


def _unlocked() -> bool:
    import secretstorage

    connection = secretstorage.dbus_init()
    try:
        return not secretstorage.get_default_collection(connection).is_locked()
    finally:
        connection.close()
