"""A libvirt stream with a callback for incoming bytes, which can be freed without a leak."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import libvirt

StreamCallback = Callable[[Any, int], None]
"""Called in the event thread with libvirt's stream and what has happened."""


class CallingStream:
    """A non-blocking stream. Call `free` before its connection is closed, and never during a call.

    libvirt keeps what was registered as a stream's callback for ever, also when it is removed (its remoteStreamCallbackFree
    never frees it; 9.0, still so in 2025). The binding registers the Python stream with it, a stream keeps its connection,
    closed or not, and a connection is two descriptors here and one in libvirtd. So the stream is freed by hand, and what
    stays is an empty shell.
    """

    def __init__(self, connection: Any) -> None:
        self.stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        self._slot = _Slot()

    def listen(self, events: int, callback: StreamCallback) -> None:
        """Call `callback` at these events. Raises libvirtError."""
        self._slot.callback = callback
        self.stream.eventAddCallback(events, self._slot, None)

    def free(self) -> None:
        """Abort the stream and drop all references to it. A callback that is running gets libvirtError from the stream."""
        self._slot.callback = None
        for end in (self.stream.eventRemoveCallback, self.stream.abort):
            with suppress(libvirt.libvirtError):  # nothing was registered or opened, or the host is lost
                end()
        if hasattr(self.stream, "cb"):
            del self.stream.cb  # it is removed already
        self.stream.__del__()  # the binding has no other way to free it; a second time does nothing
        self.stream._conn = None


class _Slot:
    """What libvirt keeps."""

    callback: StreamCallback | None = None

    def __call__(self, stream: Any, events: int, _: object) -> None:
        if (callback := self.callback) is not None:
            callback(stream, events)
