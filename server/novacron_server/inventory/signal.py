"""A signal, passed to the emitter and the listeners when they are created, so that neither refers to the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")
_log = structlog.get_logger()


class Signal(Generic[T]):
    """Calls its listeners in the order of registration, in the emitter's thread. An exception of one is logged and does
    not keep the others from being called."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], object]] = []

    def listen(self, listener: Callable[[T], object]) -> None:
        self._listeners.append(listener)

    def emit(self, value: T) -> None:
        for listener in self._listeners:
            try:
                listener(value)
            except Exception as e:  # noqa: BLE001 - a bad listener must not stop the emitter
                _log.error("a listener failed", exc_info=e)
