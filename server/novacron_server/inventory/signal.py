"""A signal: one part emits, others listen, and neither holds the other. Both get it in their constructors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
_log = structlog.get_logger()


class Signal(Generic[T]):
    """Calls its listeners, in the order in which they came, in the emitter's thread. One that raises is logged and
    keeps no other from being called."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], object]] = []

    def listen(self, listener: Callable[[T], object]) -> None:
        self._listeners.append(listener)

    def emit(self, value: T) -> None:
        for listener in self._listeners:
            try:
                listener(value)
            except Exception as e:  # noqa: BLE001 - an emitter must not end because of what a listener does
                _log.error("a listener failed", exc_info=e)
