"""The desktop keyring, used only where it works without prompting; otherwise calls fail immediately.

A keyring may hang or open a password dialog, which a script cannot wait for. So it is accessed in a thread with a
timeout, and a Secret Service only while it is unlocked.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")
_SERVICE = "novacron"
_DEADLINE_S = 2.0


class NoAnswer(Exception):
    """No keyring can be asked without a prompt: there is none, it is locked, fails, or takes too long."""


def read(name: str) -> str | None:
    """The secret, or None when the keyring has none of this name. Raises NoAnswer."""
    return _ask(lambda ring: ring.get_password(_SERVICE, name))


def write(name: str, secret: str) -> bool:
    """Store a secret; True when reading it back succeeds."""

    def write_and_verify(ring: KeyringBackend) -> bool:
        ring.set_password(_SERVICE, name, secret)
        return ring.get_password(_SERVICE, name) == secret

    try:
        return _ask(write_and_verify)
    except NoAnswer:
        return False


def forget(name: str) -> None:
    """Delete the secret, if it exists and a keyring answers."""
    with suppress(NoAnswer):
        _ask(lambda ring: ring.delete_password(_SERVICE, name))


def _ask(access: Callable[[KeyringBackend], T]) -> T:
    if not _may_have_keyring():
        raise NoAnswer
    results: queue.Queue[list[T]] = queue.Queue()

    def run_access() -> None:
        try:
            ring = _silent_keyring()
            results.put([access(ring)] if ring is not None else [])
        except Exception:  # noqa: BLE001 - backends raise any exception; a failing keyring counts as absent
            results.put([])

    threading.Thread(target=run_access, daemon=True, name="keyring").start()
    try:
        answers = results.get(timeout=_DEADLINE_S)
    except queue.Empty:
        answers = []
    if not answers:
        raise NoAnswer
    return answers[0]


def _may_have_keyring() -> bool:
    """Whether a backend is possible. Importing keyring takes 80 ms, so this is checked first."""
    backend = os.environ.get("PYTHON_KEYRING_BACKEND")
    return bool(backend) or sys.platform == "darwin" or "DBUS_SESSION_BUS_ADDRESS" in os.environ


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
